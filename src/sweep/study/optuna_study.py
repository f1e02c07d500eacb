"""The study in Optuna's storage: it gives points, records how trials ended, and is opened again by
a later run."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from sweep.config.schema import Scalar, StudyConfig
from sweep.config.secrets import scrub
from sweep.config.space import Parameter, Space
from sweep.errors import KEPT, UserError, first_line
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.records.trial import Completed, Failed, Outcome, Pruned
from sweep.search.distributions import distribution
from sweep.search.pruners import pruner, trials_of_each
from sweep.search.samplers import PLACE, grid_point, sampler
from sweep.study.attributes import LOSSES, LOST_AT, STOPPED_AT, attributes, lost_alone
from sweep.study.owner import take_ownership
from sweep.study.transactions import OrderedStudy, transaction
from sweep.study.trial_groups import RETRIED, OwnPruner, OwnSampler, fixed_values, is_stopped, value_of

_EXPERIMENT = "experiment"  # a user attribute of the study

# A point is given up after its trial was lost this often without getting further. Each of k trials
# that are lost together counts 1/k.
_LOSSES = 3 - 1e-6


@dataclass(frozen=True, slots=True)
class OptunaStudy:
    """A study, and the search space and settings by which points are asked for.

    `counting` holds the numbers of the trials that count towards `n_trials`: all that ended and
    are not retried.
    """

    study: OrderedStudy
    config: StudyConfig
    space: Space
    storage: RDBStorage
    counting: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, config: StudyConfig, space: Space, store: Store) -> OptunaStudy:
        """Return the study of this name in the storage; create it if there is none.

        Raises UserError if the storage cannot be reached, or if the run directory holds records of
        another study.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        address = config.storage or _own_address(store)
        try:
            storage = _storage(address)
            made = optuna.create_study(
                study_name=config.study_name, storage=storage, direction=config.direction, load_if_exists=True
            )
            study = OrderedStudy.of(made, OwnPruner(pruner(config, trials_of_each(config, space)), config.compare_by))
            with transaction(storage):
                take_ownership(study, store)
                _refuse_another_study(study, store)
                describe(study, config.metric, store.lock())
        except (SQLAlchemyError, ImportError, RuntimeError, ValueError, optuna.exceptions.OptunaError) as error:
            raise _unusable(address, error) from None
        for point in config.enqueue:
            study.enqueue_trial(dict(point), skip_if_exists=True)
        opened = cls(study, config, space, storage)
        opened.counting.update(trial.number for trial in opened._asked() if trial.state.is_finished())
        return opened

    def close(self) -> None:
        """Close the connections to the storage. SQLite then merges its log into the database."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    @property
    def counted(self) -> int:
        """Return the number of trials that count towards `n_trials`."""
        return len(self.counting)

    @property
    def wanted(self) -> int:
        """Return `n_trials`, or the number of points of a smaller grid."""
        size = self.space.grid_size() if self.config.sampler == "grid" else None
        return self.config.n_trials if size is None else min(size, self.config.n_trials)

    def ask(self) -> tuple[Trial, dict[str, Scalar]]:
        """Return the next trial and its values: the first waiting point, or a new one.

        All of it is one transaction: after a kill the same point is asked for again.
        """
        with transaction(self.storage):
            place, self.study.sampler = self._prepared()
            trial = self.study.ask()
            if trial.user_attrs.get(PLACE) != place:
                trial.set_user_attr(PLACE, place)
            chosen: dict[str, Scalar] = {}
            for parameter in self.space:
                if parameter.active(chosen):
                    chosen[parameter.key] = _suggest(trial, parameter)
        return trial, chosen

    def place(self, number: int) -> int | None:
        """Return the place of a trial's point in the order of the study; None for a trial of an
        earlier version."""
        found = (trial for trial in self.study.get_trials(deepcopy=False) if trial.number == number)
        return next((trial.user_attrs.get(PLACE) for trial in found), None)

    def _asked(self) -> list[FrozenTrial]:
        """Return the trials that ended or are running, one for each point: without those that are
        retried."""
        trials = self.study.get_trials(deepcopy=False)
        return [one for one in trials if one.state is not TrialState.WAITING and RETRIED not in one.user_attrs]

    def _prepared(self) -> tuple[int, BaseSampler]:
        """Return the place of the next point, and the sampler for it."""
        key = self.config.compare_by
        value = None if key is None else self._next_value(key)
        waiting = self.study.waiting()
        points = [*self._asked(), *(trial for trial in waiting if PLACE in trial.user_attrs)]
        place = waiting[0].user_attrs.get(PLACE) if waiting else None
        if place is None:
            place = _free_place(points)
        if key is None:
            return place, sampler(self.config, self.space, place)
        before = [point for point in points if point.user_attrs.get(PLACE, -1) < place]
        own = sum(value_of(point, key) == value for point in before)
        return place, OwnSampler(sampler(self.config, self.space, place, own), key, value)

    def _next_value(self, key: str) -> Scalar:
        """Return the value that the next point has for the compared `key`.

        Without a waiting point, enqueue one.
        """
        if waiting := self.study.waiting():
            return value_of(waiting[0], key)
        value = self._rarest_value(key)
        self.study.enqueue_trial({key: value})
        return value

    def _rarest_value(self, key: str) -> Scalar:
        """Return the value of `key` that the fewest trials have, running ones included; the first
        of equals."""
        taken = Counter(value_of(trial, key) for trial in self._asked())
        return min(self.space.choices(key), key=lambda value: taken[value])

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Record how the trial ended. A point that is to be retried is enqueued with its place."""
        with transaction(self.storage):
            for name, value in attributes(outcome).items():
                trial.set_user_attr(name, value)
            match outcome:
                case Completed(best=best):
                    self.study.tell(trial, best.metrics[self.config.metric])
                case Pruned():
                    self.study.tell(trial, state=TrialState.PRUNED)
                case Failed(again=again):
                    if again:
                        self._enqueue_again(trial)
                    # Optuna refuses a value, NaN included, together with FAIL.
                    self.study.tell(trial, state=TrialState.FAIL)
        if not (isinstance(outcome, Failed) and outcome.again):
            self.counting.add(trial.number)

    def _enqueue_again(self, trial: Trial) -> None:
        """Enqueue the trial's point.

        If some of its values were never drawn, enqueue only those it was enqueued with: the
        sampler draws the others again, from the same seed.
        """
        trial.set_user_attr(RETRIED, True)
        frozen = next(one for one in self.study.get_trials(deepcopy=False) if one.number == trial.number)
        known = {**fixed_values(frozen), **frozen.params}
        drawn = grid_point(self.config, self.space, frozen) or fixed_values(frozen)
        point = known if self.is_complete(known) else drawn
        place = frozen.user_attrs.get(PLACE)
        self.study.enqueue_trial(dict(point), user_attrs={} if place is None else {PLACE: place})

    def is_complete(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether each parameter that is active with these values has one."""
        return all(parameter.key in values for parameter in self.space if parameter.active(values))

    def report(self, trial: Trial, score: float, step: int, *, judged: bool, warm: bool) -> bool:
        """Report a score at a report step. Return whether the pruner stops the trial for it, which
        is asked where the score is to be `judged` (`trial_groups.is_stopped`).

        Score and verdict are one transaction: a score that a killed process has reported has its
        verdict.
        """
        trial._cached_frozen_trial.intermediate_values.pop(step, None)  # Optuna keeps the first score
        with transaction(self.storage):
            trial.report(score, step)
            stopped = judged and is_stopped(trial, step, warm=warm)
            if stopped:
                trial.set_user_attr(STOPPED_AT, step)
        return stopped

    def lost(self, trial: Trial, step: int, *, together: int) -> bool:
        """Count that a trial was lost after `step`, with so many trials at once. Return whether
        its point is given up.

        A trial that has got further since it was lost before is no likely cause, and its losses
        count anew.
        """
        known = trial.user_attrs
        further = step > known.get(LOST_AT, -1)
        losses = (0.0 if further else known.get(LOSSES, 0.0)) + 1 / together
        with transaction(self.storage):
            trial.set_user_attr(LOSSES, losses)
            trial.set_user_attr(LOST_AT, step)
        return losses + self._earlier_losses(trial.params) >= _LOSSES

    def _earlier_losses(self, params: Mapping[str, Scalar]) -> int:
        """Return how often an earlier version lost the point alone, and enqueued it again."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(RETRIED in one.user_attrs and one.params == params and lost_alone(one) for one in trials)

    def ended(self) -> list[FrozenTrial]:
        """Return the trials that have ended in Optuna."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()]

    def left_running(self) -> Iterator[tuple[Trial, FrozenTrial]]:
        """Yield the trials that an earlier process left running, by number.

        Only the process that holds the run directory may end them.
        """
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            yield Trial(self.study, trial._trial_id), trial


@contextmanager
def storage_errors(config: StudyConfig) -> Iterator[None]:
    """Turn an error of the storage within the context, such as a full disk or a lost server, into
    UserError."""
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        rule = f"{config.storage or 'SQLite in run_dir'} failed: {first_line(error.__cause__ or error)}"
        raise UserError.of("study.storage", scrub(f"{rule}. {KEPT}")) from error
    except optuna.exceptions.UpdateFinishedTrialError as error:
        rule = (
            f"{config.storage or 'SQLite in run_dir'} holds a trial that another process has ended: {first_line(error)}"
        )
        way_out = "One run directory at a time may use a study; name a new study.study_name"
        raise UserError.of("study.storage", scrub(f"{rule}. {way_out}")) from error


def describe(study: Study, metric: str, lock: Lock | None) -> None:
    """Write the name of the score and facts of the study as attributes, for `optuna-dashboard`."""
    shown = {} if lock is None else {
        "title": lock.config.title, "command": lock.command, "model": lock.config.model.path, "dataset": lock.config.dataset.path,
        "versions": dict(lock.versions), "commit": lock.git.commit,
    }  # fmt: skip
    known = study.user_attrs
    for name, value in shown.items():
        if value and known.get(name) != value:
            study.set_user_attr(name, value)
    if study.metric_names != [metric]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([metric])


def known_experiment(config: StudyConfig, store: Store) -> str:
    """Return the fingerprint of the experiment whose trials the storage holds; empty where it
    holds none. Writes nothing."""
    if config.storage is None and not _own_file(store).exists():
        return ""
    try:
        storage = _storage(config.storage or _own_address(store))
        study = optuna.load_study(study_name=config.study_name, storage=storage)
        known = str(study.user_attrs.get(_EXPERIMENT, ""))
        storage.engine.dispose()
    except (KeyError, SQLAlchemyError, ImportError, RuntimeError, ValueError, optuna.exceptions.OptunaError):
        return ""
    return known


def check_storage(address: str) -> None:
    """Check that a storage can be reached, without writing: for SQLite only its folder is looked
    at. Raises UserError."""
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
    """Return the storage at an address; SQLite with a write-ahead log.

    A trial commits about twenty times. Without the log, each commit waits for the disk several
    times, which takes as long as training a small head. Every commit still reaches the disk, so
    that the study and the records agree after a crash.
    """
    storage = RDBStorage(address)
    if address.startswith("sqlite:///"):

        @event.listens_for(storage.engine, "connect")
        def _(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")

        storage.engine.dispose()  # closes the connection that was made without the log
    return storage


def _own_address(store: Store) -> str:
    """Return the address of SQLite in the run directory; its path may have any characters."""
    return URL.create("sqlite", database=str(_own_file(store))).render_as_string(hide_password=False)


def _own_file(store: Store) -> Path:
    return store.root / "study.db"


def _refuse_another_study(study: Study, store: Store) -> None:
    """Check that the trials in the storage and the records in the run directory are of one study.
    Raises UserError.

    A trial with a folder and no record is not missing: its record was damaged.
    """
    lock = store.lock()
    experiment = lock.experiment if lock else ""
    known = study.user_attrs.get(_EXPERIMENT)
    if known is None or not study.get_trials(deepcopy=False):
        known = experiment
        study.set_user_attr(_EXPERIMENT, experiment)
    ended = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
    recorded = {record.number for record in store.trials()}
    running = {trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
    missing = {number for number in ended - recorded if not store.trial_dir(number).exists()}
    if known != experiment or missing or recorded - ended - running:
        rule = f"holds a study {study.study_name} that is not the one in {store.root}: their trials differ"
        raise UserError.of(
            "study.storage", f"{rule}; put the right one back, or name a new study.study_name and run_dir"
        )


def _free_place(points: list[FrozenTrial]) -> int:
    """Return the first place that no point has.

    Points of an earlier version, without a stored place, have the first ones.
    """
    taken = {point.user_attrs[PLACE] for point in points if PLACE in point.user_attrs}
    unnamed = sum(PLACE not in point.user_attrs for point in points)
    return next(islice((place for place in count() if place not in taken), unnamed, None))


def _suggest(trial: Trial, parameter: Parameter) -> Scalar:
    """Return the trial's value of a parameter."""
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
