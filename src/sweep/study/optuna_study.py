"""The study in Optuna's storage: it gives points, records how trials ended, and is opened again by
a later run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from itertools import takewhile
from types import MappingProxyType
from typing import TypeVar

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from sweep.config.schema import Scalar, StudyConfig
from sweep.config.space import Space
from sweep.records.counted import counts
from sweep.records.store import Store
from sweep.records.trial import Completed, Failed, Outcome, Pruned, outcome_value
from sweep.records.warm_start import WarmRun
from sweep.search.constraints import constrain
from sweep.search.other_studies import finished_trials
from sweep.search.promotion import PAUSED_AT, Decision, Learning
from sweep.search.pruners import pruner, trials_of_each
from sweep.search.ranks import report
from sweep.search.samplers import PLACE, grid_point, wanted_trials
from sweep.study.attributes import (
    LOSSES,
    LOST_AT,
    LOST_BEGUN,
    NOTED,
    PROMOTIONS,
    attributes,
    noted_decision,
)
from sweep.study.known_trials import KnownTrials
from sweep.study.losses import Losses
from sweep.study.most_promising import most_promising
from sweep.study.next_point import next_point
from sweep.study.owner import claim
from sweep.study.points import begun_points, suggest
from sweep.study.retries import Retries
from sweep.study.signals import StopFlag
from sweep.study.storage import STORAGE_ERRORS, open_storage, own_address, reason, shown_storage, unusable
from sweep.study.transactions import OrderedStudy, forget_trials, gathered_writes, in_order, transaction
from sweep.study.trial_groups import RETRIED, SCORED_TO, OwnPruner, decision, fixed_values

T = TypeVar("T")

_BEGUN = tuple(state for state in TrialState if state is not TrialState.WAITING)


@dataclass(slots=True)
class OptunaStudy:
    """A study, and the search space and settings by which points are asked for.

    `counting` holds the numbers of the trials that count towards `n_trials`: all that ended and
    are not retried. `given` holds the numbers of all trials that were asked for.

    Every read and write is repeated while the storage does not answer (`Retries`).
    """

    study: OrderedStudy
    config: StudyConfig
    space: Space
    storage: RDBStorage
    retries: Retries = field(default_factory=Retries)
    counting: set[int] = field(default_factory=set)
    given: set[int] = field(default_factory=set)
    earlier: tuple[FrozenTrial, ...] = ()  # trials of other studies, for the sampler alone
    _complete_points: int | None = None  # None: to be counted anew

    @classmethod
    def open(
        cls,
        config: StudyConfig,
        space: Space,
        store: Store,
        *,
        warm: Sequence[WarmRun] = (),
        say: Callable[[str], None] = lambda _: None,
        stop: StopFlag | None = None,
    ) -> OptunaStudy:
        """Return the study of this name in the storage; create it if there is none. `warm` holds
        what it takes over from other studies.

        `say` tells the user that the storage of a study that runs or goes on does not answer;
        after `stop` the study does not wait for it any more. Raises UserError if the storage
        cannot be reached, or if the run directory holds records of another study.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("optuna.storages").setLevel(logging.ERROR)  # `Retries` tells of a server that is away
        address = config.storage or own_address(store)
        name = shown_storage(config, store)
        retries = Retries(lambda error: f"{name} does not answer: {reason(error, address)}", say, stop or StopFlag())
        try:
            # The address of a new study may be wrong; the server of one that goes on restarts at most.
            opening = partial(open_storage, address)
            storage = retries.run(opening) if store.has_begun() else opening()
            study = retries.run(lambda: _created(config, space, storage))
            earlier = finished_trials([trial for run in warm for trial in run.trials], space)
            opened = cls(study, config, space, storage, retries, earlier=earlier)
            opened._write(lambda: claim(study, [one.metric for one in config.objectives], store))
            for point in (*config.enqueue, *(point for run in warm for point in run.points)):
                retries.run(partial(study.enqueue_trial, dict(point), skip_if_exists=True))
        except STORAGE_ERRORS as error:
            raise unusable(address, error) from None
        begun = opened._trials(states=_BEGUN)
        opened.given.update(trial.number for trial in begun)
        opened.counting.update(trial.number for trial in begun_points(begun) if trial.state.is_finished())
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
        return wanted_trials(self.config, self.space)

    def ask(self) -> tuple[Trial, dict[str, Scalar]]:
        """Return the next trial and its values: the first waiting point, or a new one.

        All of it is one transaction: after a kill the same point is asked for again.
        """
        trial, chosen = self._write(self._new_trial, already=self._trial_of_lost_answer)
        self._complete_points = None
        self.given.add(trial.number)
        return trial, chosen

    def _new_trial(self) -> tuple[Trial, dict[str, Scalar]]:
        place, self.study.sampler = next_point(self.study, self.config, self.space, self.earlier)
        trial = self.study.ask()
        if trial.user_attrs.get(PLACE) != place:
            trial.set_user_attr(PLACE, place)
        chosen: dict[str, Scalar] = {}
        for parameter in self.space:
            if parameter.active(chosen):
                chosen[parameter.key] = suggest(trial, parameter)
        return trial, chosen

    def _trial_of_lost_answer(self) -> tuple[Trial, dict[str, Scalar]] | None:
        """Return the trial that was asked for in a transaction whose answer was lost, although it
        was committed; None if there is none.

        It runs in the storage, and was never given to the study: no other process asks for trials
        of the same study.
        """
        for frozen in self._trials(states=(TrialState.RUNNING,)):
            if frozen.number not in self.given:
                return Trial(self.study, frozen._trial_id), dict(frozen.params)
        return None

    def _write(self, work: Callable[[], T], *, already: Callable[[], T | None] = lambda: None) -> T:
        """Return what `work` returns, done in one transaction, with its values written together.

        A transaction that failed is repeated, unless the storage has it: `already` then returns
        what `work` would.
        """
        tried = False

        def attempt() -> T:
            nonlocal tried
            again, tried = tried, True
            try:
                with transaction(self.storage), gathered_writes(self.study):
                    found = already() if again else None
                    return work() if found is None else found
            except BaseException:
                forget_trials(self.study)  # those that were rolled back
                raise

        return self.retries.run(attempt)

    def _trials(self, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self.retries.run(lambda: self.study.get_trials(deepcopy=False, states=states))

    def _trial(self, number: int) -> FrozenTrial | None:
        return next((trial for trial in self._trials() if trial.number == number), None)

    def place(self, number: int) -> int | None:
        """Return the place of a trial's point in the order of the study; None for a trial of an
        earlier version."""
        found = self._trial(number)
        return None if found is None else found.user_attrs.get(PLACE)

    def complete_points(self) -> int:
        """Return the number of waiting points before the first one that leaves a value to the
        sampler. They are counted after each ask and tell: a question to the storage takes
        milliseconds, and workers ask at every step."""
        if self._complete_points is None:
            complete = (self.is_complete(fixed_values(trial)) for trial in in_order(self._trials()))
            self._complete_points = sum(takewhile(bool, complete))
        return self._complete_points

    def constrain(self, trial: Trial, values: Mapping[str, float]) -> None:
        """Write constraint values of a running trial, from which samplers learn: above 0 a
        constraint is broken."""
        if values:
            self._write(lambda: constrain(self.study._storage, trial._trial_id, values))

    def tell(self, trial: Trial, outcome: Outcome, constraints: Mapping[str, float] = MappingProxyType({})) -> None:
        """Record how the trial ended, with its `constraints`. A point that is to be retried is
        enqueued with its place."""

        def told() -> bool | None:
            return True if self.storage.get_trial(trial._trial_id).state.is_finished() else None

        def ended() -> bool:
            constrain(self.study._storage, trial._trial_id, constraints)
            return self._end(trial, outcome)

        self._write(ended, already=told)
        self._complete_points = None
        if counts(outcome):
            self.counting.add(trial.number)

    def _end(self, trial: Trial, outcome: Outcome) -> bool:
        for name, value in attributes(outcome).items():
            trial.set_user_attr(name, value)
        match outcome:
            case Completed():
                self.study.tell(trial, [outcome_value(outcome, objective) for objective in self.config.objectives])
            case Pruned():
                self.study.tell(trial, state=TrialState.PRUNED)
            case Failed(again=again):
                if again:
                    self._enqueue_again(trial)
                # Optuna refuses a value, NaN included, together with FAIL.
                self.study.tell(trial, state=TrialState.FAIL)
        return True

    def _enqueue_again(self, trial: Trial) -> None:
        """Enqueue the trial's point.

        If some of its values were never drawn, enqueue only those it was enqueued with: the
        sampler draws the others again, from the same seed.
        """
        trial.set_user_attr(RETRIED, True)
        frozen = self._trial(trial.number)
        assert frozen is not None, "the trial is in the storage"
        known = {**fixed_values(frozen), **frozen.params}
        drawn = grid_point(self.config, self.space, frozen) or fixed_values(frozen)
        point = known if self.is_complete(known) else drawn
        place = frozen.user_attrs.get(PLACE)
        self.study.enqueue_trial(dict(point), user_attrs={} if place is None else {PLACE: place})

    def is_complete(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether each parameter that is active with these values has one."""
        return all(parameter.key in values for parameter in self.space if parameter.active(values))

    def report(
        self,
        trial: Trial,
        scores: Sequence[float],
        step: int,
        *,
        learning: Learning | None = None,
        judged: bool,
        warm: bool,
        savable: bool = True,
    ) -> Decision:
        """Report the score of each objective at a report step. Return what the pruner decides on
        the trial for it, where the score is to be `judged` (`trial_groups.decision`).

        `learning` is for a pruner that promotes. A trial that is not `savable` is not paused: it
        goes on, or is stopped for good. Score and decision are one transaction: a score that a
        killed process has reported has its decision.
        """
        # Found before the transaction: a trial keeps the attributes of one that failed.
        before = trial.user_attrs
        learnt = learning.attributes(before, step) if learning is not None and self.promotes else {}

        def reported() -> Decision:
            known = trial._cached_frozen_trial.intermediate_values
            if max(known, default=0) > step or SCORED_TO in trial.user_attrs:
                trial.set_user_attr(SCORED_TO, step)
            for name, value in learnt.items():
                trial.set_user_attr(name, value)
            report(trial, scores, step)
            if not judged:
                return Decision.GO_ON
            decided = decision(trial, step, warm=warm, savable=savable)
            if decided is not Decision.GO_ON:
                trial.set_user_attr(NOTED[decided], step)
            elif before.get(PAUSED_AT):  # the trial took another course than the one that was paused
                trial.set_user_attr(PAUSED_AT, 0)
            return decided

        def noted() -> Decision | None:
            # Some pruners note what a trial has passed, and answer otherwise when they are asked again.
            found = noted_decision(self.storage.get_trial(trial._trial_id).user_attrs, step)
            return found if found not in (Decision.GO_ON, noted_decision(before, step)) else None

        return self._write(reported, already=noted)

    @property
    def promotes(self) -> bool:
        """Return whether the pruner pauses trials and promotes them."""
        return isinstance(self.study.pruner, OwnPruner) and self.study.pruner.promotes

    def promoted(self, paused: Container[int], *, new: bool) -> int | None:
        """Return which of the trials of the numbers `paused` the pruner promotes in a free slot,
        or None: a `new` point is asked for where the study lacks one."""
        own = self.study.pruner
        if not isinstance(own, OwnPruner):
            return None
        return self.retries.run(lambda: own.promoted(self.study, paused, new=new))

    def most_promising(self) -> int | None:
        """Return the number of the trial that completes where only one does. Call it where no
        trial runs."""
        return self.retries.run(lambda: most_promising(self.study))

    def go_on(self, trial: Trial, *, promoted: bool = True) -> None:
        """Note that a paused trial goes on: as the pruner has `promoted` it, or because it could
        not be paused."""
        count = trial.user_attrs.get(PROMOTIONS, 0) + promoted

        def noted() -> None:
            trial.set_user_attr(PAUSED_AT, 0)
            trial.set_user_attr(PROMOTIONS, count)

        self._write(noted)

    def lost(self, trial: Trial, step: int, *, together: int, begun: str = "") -> bool:
        """Count that a trial was lost after `step`, with so many trials at once, unless the loss
        of the training that began with the mark `begun` is counted. Return whether its point is
        given up, by the rule of `Losses`."""
        known = trial.user_attrs
        before = Losses(known.get(LOSSES, 0.0), known.get(LOST_AT, -1), known.get(LOST_BEGUN, ""))
        losses = before.and_one(step, together=together, begun=begun)

        def counted() -> None:
            for name, value in zip((LOSSES, LOST_AT, LOST_BEGUN), astuple(losses), strict=True):
                trial.set_user_attr(name, value)

        if losses != before:
            self._write(counted)
        return losses.too_many

    def ended(self) -> list[FrozenTrial]:
        """Return the trials that have ended in Optuna."""
        return [trial for trial in self._trials() if trial.state.is_finished()]

    def left_running(self) -> Iterator[tuple[Trial, FrozenTrial]]:
        """Yield the trials that an earlier process left running, by number.

        Only the process that holds the run directory may end them.
        """
        for trial in self._trials(states=(TrialState.RUNNING,)):
            yield self.retries.run(partial(Trial, self.study, trial._trial_id)), trial


def _created(config: StudyConfig, space: Space, storage: RDBStorage) -> OrderedStudy:
    made = optuna.create_study(
        study_name=config.study_name, storage=KnownTrials(storage), directions=config.directions, load_if_exists=True
    )
    return OrderedStudy.of(made, OwnPruner(pruner(config, trials_of_each(config, space)), config.compare_by))
