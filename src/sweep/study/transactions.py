"""Transactions on an Optuna storage, and a study that asks for waiting points in the order of the
study."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, RootTransaction
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sweep.search.samplers import PLACE
from sweep.study.known_trials import KnownTrials


class _RolledBackError(Exception):
    """A transaction was rolled back, so that nothing more may be written within it."""


class _Joined(Session):
    """A session whose commits do nothing, and whose rollback ends the outer transaction.

    SQLAlchemy documents this way of joining an outer transaction.
    """

    error: BaseException | None = None  # that caused a rollback

    def rollback(self) -> None:
        self.error = self.error or sys.exception()
        super().rollback()


class _JoinedSessions:
    """Stands for the `scoped_session` of a storage, with one session for one transaction.

    After an error Optuna rolls back and, in places, tries again. The second try would be outside
    of the transaction, and is refused.
    """

    def __init__(self, connection: Connection, outer: RootTransaction) -> None:
        self._outer = outer
        self._session = _Joined(bind=connection, join_transaction_mode="rollback_only")

    def __call__(self) -> Session:
        if not self._outer.is_active:
            raise _RolledBackError from self._session.error
        return self._session

    def remove(self) -> None:
        self._session.close()


@contextmanager
def transaction(storage: BaseStorage) -> Iterator[None]:
    """Write everything that this thread writes within the context in one transaction.

    Optuna commits after each value of a trial; a process that is killed between two commits leaves
    half a trial. A storage in memory needs no transaction. Raises StorageInternalError: nothing
    was written or, where the answer to the commit was lost, everything may have been.
    """
    if not isinstance(storage, RDBStorage):
        yield
        return
    usual = storage.scoped_session
    try:
        with storage.engine.connect() as connection:
            outer = connection.begin()
            joined = _JoinedSessions(connection, outer)
            storage.scoped_session = joined  # type: ignore[assignment]  # it has what a storage calls
            try:
                yield
            finally:
                joined.remove()
                storage.scoped_session = usual
            joined()  # refuses if an error was ignored on the way
            outer.commit()
    except _RolledBackError as error:
        raise StorageInternalError("a transaction was rolled back") from error.__cause__
    except SQLAlchemyError as error:
        raise StorageInternalError(str(error)) from error


def gathered_writes(study: Study) -> AbstractContextManager[None]:
    """Return a context at whose end the values of trials are written together. It belongs into a
    transaction (`KnownTrials.gathered`)."""
    storage = study._storage
    return storage.gathered() if isinstance(storage, KnownTrials) else nullcontext()


def forget_trials(study: Study) -> None:
    """Make the study read all its trials from the storage again.

    The study keeps the trials that it has seen, such as one that was created in a transaction that
    was rolled back later.
    """
    storage = study._storage
    if isinstance(storage, KnownTrials):
        storage.forget()
    study._thread_local.cached_all_trials = None


def in_order(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the waiting ones of the trials in the order in which they are asked for."""
    waiting = [trial for trial in trials if trial.state is TrialState.WAITING]
    return sorted(waiting, key=lambda trial: (PLACE not in trial.user_attrs, trial.user_attrs.get(PLACE), trial.number))


class OrderedStudy(Study):
    """An Optuna study that asks for waiting trials by their places: a retried point comes before
    points that were never asked for."""

    @classmethod
    def of(cls, study: Study, pruner: BasePruner) -> OrderedStudy:
        """Return the same study with `pruner`."""
        return cls(study.study_name, study._storage, sampler=study.sampler, pruner=pruner)

    def waiting(self) -> list[FrozenTrial]:
        """Return the waiting trials in the order in which they are asked for."""
        return in_order(self.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def _pop_waiting_trial_id(self) -> int | None:
        for trial in self.waiting():
            try:
                if self._storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
                    return trial._trial_id
            except UpdateFinishedTrialError:
                continue
        return None
