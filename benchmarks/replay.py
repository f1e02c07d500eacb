"""A search replayed on a table of curves: Optuna's samplers and pruners as the project makes them,
without training.

Random search takes rows of the table in a seeded order, none twice. Every other sampler asks for a
point of the space, gets the nearest row not yet used in its place, and is told of that row: keys
count alike, ranges scaled to 0 to 1 (on the log scale if they are), choices and keys that only one
of two points has as 0 or 1. Trials in slots train equally fast: those that come to an evaluation
at the same time report in order of their numbers, and freed slots are refilled after them. A
trial that is paused has no slot until its pruner promotes it; it then goes on where it was.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.trial import Trial, TrialState

from benchmarks.curves import Curve, Table, gaps
from sweep.config.domains import Choices
from sweep.config.schema import PrunerName, SamplerName, Scalar, StudyConfig
from sweep.config.space import Parameter, Space
from sweep.plan.pausing import pauses
from sweep.search import pruners
from sweep.search.promotion import PAUSED_AT, Decision, Learning
from sweep.search.racing import RacingPruner
from sweep.study.optuna_study import OptunaStudy
from sweep.study.transactions import OrderedStudy
from sweep.study.trial_groups import OwnPruner, decision

WITHIN = 0.002 + 1e-9  # of a score, a share
_UNCOUNTED = "retried"  # with this attribute a trial does not count in the study


@dataclass(frozen=True, slots=True)
class Policy:
    """The sampler and the pruner of a replayed search. Options that are left out have the
    project's defaults."""

    sampler: SamplerName = "random"
    pruner: PrunerName = "none"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    pruner_options: Mapping[str, Any] = field(default_factory=dict)

    def study(self, seed: int, trials: int) -> StudyConfig:
        return StudyConfig(
            sampler=self.sampler, sampler_options=dict(self.sampler_options), pruner=self.pruner,
            pruner_options=dict(self.pruner_options), seed=seed, n_trials=trials,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class End:
    """The end of a trial on a curve, with its `score`, None where it was stopped. Until then `begun`
    trials had begun, and `trained` report steps were trained in all slots."""

    curve: Curve
    score: float | None
    begun: int
    trained: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replayed search. `points` is the best evaluation that each point would have had without a
    pruner, in the order of the asks. `scored` has each score of the trials that ran to their end,
    with the report steps trained in all slots until then.

    `trained` are the report steps trained in all slots together, `whole` those of the same trials
    at full length, `evaluations` the number of evaluations, `ticks` the report steps that went by.
    `curves` are those of the trials in the order of the asks, and `lengths` are the report steps
    that each trained. `ends` are in the order of the ends; a trial that is paused to the last has
    none.
    """

    whole: int
    trained: int
    evaluations: int
    ticks: int
    points: tuple[float, ...]
    scored: tuple[tuple[float, int], ...]
    curves: tuple[Curve, ...] = ()
    lengths: tuple[int, ...] = ()
    ends: tuple[End, ...] = ()

    @property
    def trials(self) -> int:
        return len(self.points)

    @property
    def full(self) -> float:
        return max(self.points)

    @property
    def best(self) -> float:
        return max((score for score, _ in self.scored), default=float("-inf"))

    @property
    def saved(self) -> float:
        """Return the share of the rows saved, of those that the same trials train at full length."""
        return 1 - self.trained / self.whole

    @property
    def length(self) -> float:
        """Return the mean length of a trial in report steps."""
        return self.whole / self.trials

    @property
    def reached(self) -> int | None:
        """Return the report steps trained until the first score within `WITHIN` of `full`; None if
        there was none."""
        return min((trained for score, trained in self.scored if score >= self.full - WITHIN), default=None)

    @property
    def saved_until_there(self) -> float:
        """Return the share of rows that was saved until `reached`; later rows do not count. A
        search that never reached the score saves nothing."""
        return 0.0 if self.reached is None else 1 - self.reached / self.whole

    def trials_until(self, score: float) -> float:
        """Return the rows trained until the first such score, in trials at full length. A search
        that never reached the score counts in full."""
        there = min((trained for found, trained in self.scored if found >= score), default=self.whole)
        return there / self.length

    @property
    def regret(self) -> float:
        return self.full - self.best


@dataclass(slots=True)
class _Running:
    trial: Trial
    curve: Curve
    began: int
    at: tuple[int, ...]
    spent: list[int] = field(default_factory=list)  # report steps trained in all slots when it was scored

    @property
    def due(self) -> int:
        """Return when it comes to its next evaluation. It `began` so many report steps earlier."""
        return self.began + self.at[len(self.spent)]

    def go_on(self, now: int) -> None:
        """Let it train on from its last evaluation."""
        self.began = now - self.at[len(self.spent) - 1]
        self.trial.set_user_attr(PAUSED_AT, 0)

    def decision(self, place: int, *, spared: bool) -> Decision:
        """Return what the study's pruner decides."""
        report_step = self.at[place]
        warm = not spared or report_step > self.curve.warmup_share * self.at[-1]
        return decision(self.trial, report_step, warm=warm)

    def report(self, place: int, *, learning: bool) -> None:
        """Report an evaluation, with the attributes that a study adds for a pruner that promotes
        (`learning`)."""
        step, curve = self.at[place], self.curve
        if learning:
            loss = curve.losses[place] if curve.losses else None
            learnt = Learning(curve.progress(place, self.at[-1], step), curve.rates, self.at[-1], loss)
            for name, value in learnt.attributes(self.trial.user_attrs, step).items():
                self.trial.set_user_attr(name, value)
        self.trial.report(curve.scores[place], step)


def replay(
    table: Table,
    policy: Policy,
    *,
    trials: int,
    slots: int = 1,
    seed: int = 0,
    pruner: BasePruner | None = None,
    spared: bool = True,
) -> Replayed:
    """Replay a search. `pruner` replaces the pruner of the policy. With `spared` no trial is
    stopped before its warmup is over, as in a study. Raises ValueError if the table has fewer rows
    than `trials`."""
    if trials > len(table.curves):
        raise ValueError(f"{trials} trials of a table of {len(table.curves)}")
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the Gaussian process names each conditional key at each ask
    config, storage, space = policy.study(seed, trials), InMemoryStorage(), table.space
    # The name decides Hyperband's brackets.
    made = optuna.create_study(study_name=f"seed {seed}", storage=storage, direction="maximize")
    chosen = pruner or pruners.pruner(config)
    if pruner is None and isinstance(chosen, RacingPruner) and not pauses(config, table.validation_rows):
        chosen = chosen.stopping
    study = OrderedStudy.of(made, OwnPruner(chosen, None))
    asking = _Asking(OptunaStudy(study, config, space, storage), table, list(table.curves), random.Random(seed))  # type: ignore[arg-type]
    return _Search(study, asking, trials, slots, spared=spared).run()


@dataclass(slots=True)
class _Search:
    """The search while it is replayed. `now` is the number of report steps that went by, `trained`
    that of all slots together."""

    study: OrderedStudy
    asking: _Asking
    trials: int
    slots: int
    spared: bool
    now: int = 0
    trained: int = 0
    evaluations: int = 0
    asked: list[_Running] = field(default_factory=list)
    running: list[_Running] = field(default_factory=list)
    completed: list[_Running] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)

    def run(self) -> Replayed:
        while self._fill_slots():
            self.now = min(one.due for one in self.running)
            due = [one for one in self.running if one.due == self.now]
            for one in sorted(due, key=lambda one: one.trial.number):
                self._evaluate(one)
        asked = self.asked
        return Replayed(
            whole=sum(one.at[-1] for one in asked), trained=self.trained, evaluations=self.evaluations, ticks=self.now,
            points=tuple(max(one.curve.scores) for one in asked),
            scored=tuple(pair for one in self.completed for pair in zip(one.curve.scores, one.spent, strict=True)),
            curves=tuple(one.curve for one in asked), lengths=tuple(one.at[len(one.spent) - 1] for one in asked),
            ends=tuple(self.ends),
        )  # fmt: skip

    def _fill_slots(self) -> bool:
        """Give each free slot a promoted trial or a new one. Return whether any trial runs."""
        while len(self.running) < self.slots:
            if (number := self._promoted()) is not None:
                self.running.append(next(one for one in self.asked if one.trial.number == number))
                self.running[-1].go_on(self.now)
            elif len(self.asked) < self.trials:
                self.running.append(self.asking.next(self.now))
                self.asked.append(self.running[-1])
            else:
                break
        return bool(self.running)

    def _evaluate(self, one: _Running) -> None:
        """Report the evaluation that is due, and free the slot where the trial ends or pauses."""
        place = len(one.spent)
        self.trained += gaps(one.at)[place]
        self.evaluations += 1
        one.spent.append(self.trained)
        one.report(place, learning=self.optuna_study.promotes)
        if one.at[place] == one.at[-1]:
            self.completed.append(one)
            self._end(one, max(one.curve.scores))
        elif (decision := one.decision(place, spared=self.spared)) is Decision.GO_ON:
            return
        elif decision is Decision.STOP:
            self._end(one, None)
        else:
            one.trial.set_user_attr(PAUSED_AT, one.at[place])
        self.running.remove(one)

    def _end(self, one: _Running, score: float | None) -> None:
        self.ends.append(End(one.curve, score, len(self.asked), self.trained))
        self.study.tell(one.trial, score, state=TrialState.PRUNED if score is None else None)

    def _promoted(self) -> int | None:
        pruner = self.study.pruner
        assert isinstance(pruner, OwnPruner), "a study has its pruner in one"
        return pruner.promote(self.study, new=len(self.asked) < self.trials)

    @property
    def optuna_study(self) -> OptunaStudy:
        return self.asking.optuna_study


@dataclass(slots=True)
class _Asking:
    optuna_study: OptunaStudy
    table: Table
    left: list[Curve]
    draw: random.Random

    def next(self, now: int) -> _Running:
        if self.optuna_study.config.sampler == "random":
            curve = self.draw.choice(self.left)
        else:
            suggestion, params = self.optuna_study.ask()
            suggestion.set_user_attr(_UNCOUNTED, True)
            self.optuna_study.study.tell(suggestion, state=TrialState.FAIL)
            curve = min(self.left, key=lambda curve: distance(self.optuna_study.space, curve.params, params))
        self.left.remove(curve)
        self.optuna_study.study.enqueue_trial(dict(curve.params))
        trial, params = self.optuna_study.ask()
        assert params == curve.params, (params, curve.params)
        return _Running(trial, curve, now, self.table.at_of(curve))


def distance(space: Space, one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> float:
    """Return the squared distance of two points in the unit cube."""
    return sum(_gap(parameter, one, other) ** 2 for parameter in space)


def _gap(parameter: Parameter, one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> float:
    key, domain = parameter.key, parameter.domain
    if key not in one or key not in other or isinstance(domain, Choices):
        return float(one.get(key) != other.get(key))
    scale = log if domain.log else float
    return (scale(one[key]) - scale(other[key])) / (scale(domain.high) - scale(domain.low))
