"""Transactions on an Optuna storage, and a study that asks for waiting points in the order of the
study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import scoped_session, sessionmaker

from sweep.search.samplers_and_pruners import PLACE


@contextmanager
def transaction(storage: BaseStorage) -> Iterator[None]:
    """Write everything that this thread writes within the context in one transaction.

    Optuna commits after each value of a trial; a process that is killed between two commits leaves
    half a trial. Sessions join the outer transaction as SQLAlchemy documents it, so that their
    commits do nothing. After a rollback, such as after a deadlock, Optuna tries again in
    transactions of its own. A storage in memory needs no transaction. Raises StorageInternalError.
    """
    if not isinstance(storage, RDBStorage):
        yield
        return
    usual = storage.scoped_session
    try:
        with storage.engine.connect() as connection:
            outer = connection.begin()
            joined = sessionmaker(bind=connection, join_transaction_mode="rollback_only")
            storage.scoped_session = scoped_session(joined)
            try:
                yield
            finally:
                storage.scoped_session.remove()
                storage.scoped_session = usual
            if outer.is_active:
                outer.commit()
    except SQLAlchemyError as error:
        raise StorageInternalError(str(error)) from error


class OrderedStudy(Study):
    """An Optuna study that asks for waiting trials by their places: a retried point comes before
    points that were never asked for."""

    @classmethod
    def of(cls, study: Study, pruner: BasePruner) -> OrderedStudy:
        """Return the same study with `pruner`."""
        return cls(study.study_name, study._storage, sampler=study.sampler, pruner=pruner)

    def waiting(self) -> list[FrozenTrial]:
        """Return the waiting trials in the order in which they are asked for."""
        found = self.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return sorted(
            found, key=lambda trial: (PLACE not in trial.user_attrs, trial.user_attrs.get(PLACE), trial.number)
        )

    def _pop_waiting_trial_id(self) -> int | None:
        for trial in self.waiting():
            try:
                if self._storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
                    return trial._trial_id
            except UpdateFinishedTrialError:
                continue
        return None
