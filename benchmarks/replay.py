"""A search replayed on a table of curves: Optuna's samplers and pruners as the project makes them, without training.

Random search takes rows of the table in a seeded order, none twice. Every other sampler asks for a point of the space, gets the
nearest row not yet used in its place, and is told of that row: keys count alike, ranges scaled to 0 to 1 (on the log scale if
they are), choices and keys that only one of two points has as 0 or 1. Trials in slots train equally fast: those that come to an
evaluation at the same time report in order of their numbers, and freed slots are refilled after them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.trial import Trial, TrialState

from benchmarks.curves import Curve, Table
from sweep import methods
from sweep.config.schema import PrunerName, SamplerName, Scalar, StudyConfig
from sweep.config.space import Choices, Parameter, Space
from sweep.study.ledger import Ledger

WITHIN = 0.002 + 1e-9  # of a score, a share
_UNCOUNTED = "retried"  # with this attribute a trial does not count for the ledger


@dataclass(frozen=True, slots=True)
class Policy:
    """What is left out of the options is the project's default."""

    sampler: SamplerName = "random"
    pruner: PrunerName = "none"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    pruner_options: Mapping[str, Any] = field(default_factory=dict)

    def study(self, seed: int) -> StudyConfig:
        return StudyConfig(
            sampler=self.sampler, sampler_options=dict(self.sampler_options), pruner=self.pruner,
            pruner_options=dict(self.pruner_options), seed=seed,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replayed:
    """`best` is the best evaluation of the trials that ran to their end, `full` that of all points had none been stopped.
    `trained` are the milestones trained in all slots together, `ticks` those that went by, and `reached` those trained in all
    slots when a trial that ran to its end first scored within `WITHIN` of `full`; None where none did."""

    trials: int
    length: int
    trained: int
    ticks: int
    best: float
    full: float
    reached: int | None = None

    @property
    def saved(self) -> float:
        """Share of the rows that the same trials would have trained at full budget."""
        return 1 - self.trained / (self.trials * self.length)

    @property
    def saved_until_there(self) -> float:
        """The same share, of the rows until the search first had such a score: what came after it is not counted. A search that
        never had it saves nothing."""
        return 0.0 if self.reached is None else 1 - self.reached / (self.trials * self.length)

    @property
    def regret(self) -> float:
        return self.full - self.best


@dataclass(slots=True)
class _Running:
    trial: Trial
    curve: Curve
    began: int
    spent: list[int] = field(default_factory=list)  # milestones trained in all slots when it was scored


def replay(
    table: Table, policy: Policy, *, trials: int, slots: int = 1, seed: int = 0, pruner: BasePruner | None = None
) -> Replayed:
    """`pruner` is put in the place of the policy's. Raises ValueError where the table has fewer rows than `trials`."""
    if trials > len(table.curves):
        raise ValueError(f"{trials} trials of a table of {len(table.curves)}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config, storage, space = policy.study(seed), InMemoryStorage(), table.space
    # The name decides Hyperband's brackets.
    study = optuna.create_study(
        study_name=f"seed {seed}", storage=storage, direction="maximize", pruner=pruner or methods.pruner(config)
    )
    asking = _Asking(Ledger(study, config, space, storage), list(table.curves), random.Random(seed))  # type: ignore[arg-type]
    running: list[_Running] = []
    asked: list[Curve] = []
    whole: list[_Running] = []
    gaps, trained, now = table.gaps, 0, 0
    while running or len(asked) < trials:
        while len(running) < slots and len(asked) < trials:
            running.append(asking.next(now))
            asked.append(running[-1].curve)
        due = [one.began + table.at[len(one.spent)] for one in running]
        now = min(due)
        for one in [one for one, at in zip(running, due, strict=True) if at == now]:
            place = len(one.spent)
            trained += gaps[place]
            one.spent.append(trained)
            one.trial.report(one.curve.scores[place], table.at[place])
            if table.at[place] == table.length:
                whole.append(one)
                study.tell(one.trial, max(one.curve.scores))
            elif one.trial.should_prune():
                study.tell(one.trial, state=TrialState.PRUNED)
            else:
                continue
            running.remove(one)
    full = max(max(curve.scores) for curve in asked)
    best = max((max(one.curve.scores) for one in whole), default=float("-inf"))
    there = reached([(one.curve, one.spent) for one in whole], full)
    return Replayed(trials, table.length, trained, now, best, full, there)


def reached(whole: Sequence[tuple[Curve, Sequence[int]]], full: float) -> int | None:
    """What had been trained at the first score within `WITHIN` of `full`, where each curve comes with that at each score."""
    known = (pair for curve, spent in whole for pair in zip(curve.scores, spent, strict=True))
    return min((trained for score, trained in known if score >= full - WITHIN), default=None)


@dataclass(slots=True)
class _Asking:
    ledger: Ledger
    left: list[Curve]
    draw: random.Random

    def next(self, now: int) -> _Running:
        if self.ledger.config.sampler == "random":
            curve = self.draw.choice(self.left)
        else:
            suggestion, params = self.ledger.ask()
            suggestion.set_user_attr(_UNCOUNTED, True)
            self.ledger.study.tell(suggestion, state=TrialState.FAIL)
            curve = min(self.left, key=lambda curve: distance(self.ledger.space, curve.params, params))
        self.left.remove(curve)
        self.ledger.study.enqueue_trial(dict(curve.params))
        trial, params = self.ledger.ask()
        assert params == curve.params, (params, curve.params)
        return _Running(trial, curve, now)


def distance(space: Space, one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> float:
    """Squared, in the unit cube."""
    return sum(_gap(parameter, one, other) ** 2 for parameter in space)


def _gap(parameter: Parameter, one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> float:
    key, domain = parameter.key, parameter.domain
    if key not in one or key not in other or isinstance(domain, Choices):
        return float(one.get(key) != other.get(key))
    scale = log if domain.log else float
    return (scale(one[key]) - scale(other[key])) / (scale(domain.high) - scale(domain.low))
