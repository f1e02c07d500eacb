"""Optuna's side of a study: asking for points, reporting scores, telling ends, and taking up what a stopped run left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from sweep.config.schema import Scalar, StudyConfig
from sweep.config.secrets import scrub
from sweep.config.space import Parameter, Space
from sweep.errors import UserError, first_line
from sweep.methods import distribution, pruner, sampler, trials_of_each
from sweep.records import Completed, Failed, FailureReason, Outcome, Pruned
from sweep.store import Store
from sweep.study.among import RETRIED, OwnPruner, OwnSampler, value_of

# User attributes of an Optuna trial, and of the study; `optuna-dashboard` shows them.
_OUTCOME, _EPOCH, _TOGETHER = "outcome", "best_epoch", "lost_together"
_EXPERIMENT = "experiment"

# A point that has taken its process down this often is not tried again: it may well be why. Of trials that went down
# together each is so with its share only.
_LOSSES = 2


@dataclass(frozen=True, slots=True)
class Ledger:
    """`counting` has the numbers of the trials that count towards `n_trials`: all that ended for a reason of their own."""

    study: Study
    config: StudyConfig
    space: Space
    storage: RDBStorage
    counting: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, config: StudyConfig, space: Space, store: Store) -> Ledger:
        """Make the study, or take it up again.

        Raises UserError where the storage cannot be reached, or holds a study of this name that is not the one whose
        records are in the run directory.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        address = config.storage or f"sqlite:///{store.root / 'study.db'}"
        try:
            storage = _storage(address)
            study = optuna.create_study(
                study_name=config.study_name, storage=storage, direction=config.direction,
                pruner=OwnPruner(pruner(config, trials_of_each(config, space)), config.compare_by), load_if_exists=True,
            )  # fmt: skip
        except (SQLAlchemyError, ImportError, RuntimeError, ValueError, optuna.exceptions.OptunaError) as error:
            raise _unusable(address, error) from None
        _refuse_another_study(study, store)
        for point in config.enqueue:
            study.enqueue_trial(dict(point), skip_if_exists=True)
        ledger = cls(study, config, space, storage)
        ledger.counting.update(trial.number for trial in ledger._asked() if trial.state.is_finished())
        return ledger

    def close(self) -> None:
        """Let go of the storage; SQLite then puts its log into the one file."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    @property
    def counted(self) -> int:
        return len(self.counting)

    @property
    def wanted(self) -> int:
        """`n_trials`, or fewer where a grid has fewer points."""
        size = self.space.grid_size() if self.config.sampler == "grid" else None
        return self.config.n_trials if size is None else min(size, self.config.n_trials)

    def ask(self) -> tuple[Trial, dict[str, Scalar]]:
        self.study.sampler = self._sampler()
        trial = self.study.ask()
        chosen: dict[str, Scalar] = {}
        for parameter in self.space:
            if parameter.active(chosen):
                chosen[parameter.key] = _suggest(trial, parameter)
        return trial, chosen

    def _asked(self) -> list[FrozenTrial]:
        """Every point asked for once: trials that ended or still run, without those that are tried again."""
        trials = self.study.get_trials(deepcopy=False)
        return [one for one in trials if one.state is not TrialState.WAITING and RETRIED not in one.user_attrs]

    def _sampler(self) -> BaseSampler:
        asked, key = self._asked(), self.config.compare_by
        if key is None:
            return sampler(self.config, self.space, len(asked))
        value = self._next_method(key)
        own = sum(value_of(trial, key) == value for trial in asked)
        return OwnSampler(sampler(self.config, self.space, len(asked), own), key, value)

    def _next_method(self, key: str) -> Scalar:
        """That of the first point that waits; where none does, one is made to wait for the method that is due."""
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if waiting:
            return value_of(waiting[0], key)
        due = self._due(key)
        self.study.enqueue_trial({key: due})
        return due

    def _due(self, key: str) -> Scalar:
        """The method that has the fewest trials, running ones too; the first of equals."""
        taken = Counter(value_of(trial, key) for trial in self._asked())
        return min(self.space.methods(key), key=lambda value: taken[value])

    def tell(self, trial: Trial, outcome: Outcome, *, together: int = 1) -> None:
        """`together` is how many trials were lost in one go, where this is one of them."""
        again = False
        match outcome:
            case Completed(best=best):
                trial.set_user_attr(_OUTCOME, "completed")
                trial.set_user_attr(_EPOCH, best.epoch)
                self.study.tell(trial, best.metrics[self.config.metric])
            case Pruned():
                trial.set_user_attr(_OUTCOME, "pruned")
                self.study.tell(trial, state=TrialState.PRUNED)
            case Failed(reason=reason):
                trial.set_user_attr(_OUTCOME, str(reason))
                if reason is FailureReason.LOST and together > 1:
                    trial.set_user_attr(_TOGETHER, together)
                again = reason.retried and not self._takes_down(trial, reason)
                if again:
                    trial.set_user_attr(RETRIED, True)
                # Optuna refuses a value, NaN included, together with FAIL.
                self.study.tell(trial, state=TrialState.FAIL)
                if again and trial.params:
                    self.study.enqueue_trial(dict(trial.params))
        if not again:
            self.counting.add(trial.number)

    def _takes_down(self, trial: Trial, reason: FailureReason) -> bool:
        """Whether the point was lost before, and is now again, and may well be why."""
        losses = [
            Fraction(1, other.user_attrs.get(_TOGETHER, 1)) for other in self.study.get_trials(deepcopy=False)
            if other.user_attrs.get(_OUTCOME) == FailureReason.LOST and other.params == trial.params
        ]  # fmt: skip
        return reason is FailureReason.LOST and sum(losses) >= _LOSSES

    def unsettled(self) -> Iterator[tuple[Trial, FrozenTrial]]:
        """Trials that a killed process left running. Only the holder of the run directory may settle them."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            yield Trial(self.study, trial._trial_id), trial


@contextmanager
def failures_told(config: StudyConfig) -> Iterator[None]:
    """A storage that fails on the way, as a full disk or a server that has gone makes it, is the user's to mend."""
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        rule = f"{config.storage or 'SQLite in run_dir'} failed: {first_line(error.__cause__ or error)}"
        rest = "What was recorded is kept; the same command goes on from there"
        raise UserError.of("study.storage", scrub(f"{rule}. {rest}")) from None


def check_storage(address: str) -> None:
    """Raises UserError where it cannot be reached. Writes nothing, so that of SQLite only the folder is looked at."""
    try:
        url = make_url(address)
        if url.get_backend_name() == "sqlite":
            folder = Path(url.database or "").absolute().parent
            if not folder.is_dir():
                raise ValueError(f"there is no folder {folder}")
            return
        engine = create_engine(url)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise _unusable(address, error) from None


def _unusable(address: str, error: BaseException) -> UserError:
    reason = first_line(error.__cause__ or error)
    return UserError.of("study.storage", scrub(f"is {address}, but cannot be used: {reason}"))


def _storage(address: str) -> RDBStorage:
    """SQLite as a write-ahead log: a trial commits some twenty times, and waiting several times for the disk at each took
    as long as training a small head. Each commit still reaches the disk, so that study and records stay together."""
    storage = RDBStorage(address)
    if address.startswith("sqlite:///"):

        @event.listens_for(storage.engine, "connect")
        def _(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")

        storage.engine.dispose()  # the connection that was made without
    return storage


def _refuse_another_study(study: Study, store: Store) -> None:
    """The run directory and the study in the storage belong together, or neither has anything yet."""
    lock = store.lock()
    experiment = lock.experiment if lock else ""
    known = study.user_attrs.get(_EXPERIMENT)
    if known is None or not study.get_trials(deepcopy=False):
        known = experiment
        study.set_user_attr(_EXPERIMENT, experiment)
    told = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
    recorded = {record.number for record in store.trials()}
    running = {trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
    if known != experiment or told - recorded or recorded - told - running:
        rule = f"holds a study {study.study_name} that is not the one in {store.root}: their trials differ"
        raise UserError.of(
            "study.storage", f"{rule}; put the right one back, or name a new study.study_name and run_dir"
        )


def _suggest(trial: Trial, parameter: Parameter) -> Scalar:
    key = parameter.key
    match distribution(parameter):
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(key, choices)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return int(trial.suggest_int(key, low, high, log=log, step=step))
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return float(trial.suggest_float(key, low, high, log=log, step=step))
        case other:
            raise AssertionError(other)
