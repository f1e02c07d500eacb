"""Several writes to an Optuna storage that are done together or not at all, and the order in which waiting points are asked for."""

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

from sweep.search.samplers import PLACE


@contextmanager
def whole(storage: BaseStorage) -> Iterator[None]:
    """One transaction around all that this thread writes to the storage meanwhile. Optuna ends one after each value of a
    trial, and a process killed between two of them would leave half a trial. A storage in memory dies with its process, and
    needs none.

    Sessions join a transaction from outside in the way that SQLAlchemy documents for this: their commits are not
    passed on. After a rollback, as a deadlock brings, Optuna tries again in transactions of its own. Raises
    StorageInternalError as Optuna does.
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


class InOrder(Study):
    """A study whose waiting trials are asked for by their places: one that is tried again comes before those that had
    never been asked for, as it did the first time."""

    @classmethod
    def of(cls, study: Study, pruner: BasePruner) -> InOrder:
        """The same study, with `pruner`."""
        return cls(study.study_name, study._storage, sampler=study.sampler, pruner=pruner)

    def waiting(self) -> list[FrozenTrial]:
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
