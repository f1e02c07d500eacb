"""The cost of the study: search, fresh seeds, retraining and refit, in all and for each trial."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sweep.analysis.facts import Facts
from sweep.records.cost import Cost, total
from sweep.records.device_time import DeviceTime
from sweep.records.trial import Failed, FailureReason, Pruned, TrialRecord


@dataclass(frozen=True, slots=True)
class Part:
    """The cost of one step of the study, over `runs` trainings."""

    kind: Literal["trials", "fresh_seeds", "retraining", "refit", "all"]
    runs: int
    cost: Cost

    @property
    def known(self) -> bool:
        """Return whether anything was measured."""
        return self.cost != Cost()


@dataclass(frozen=True, slots=True)
class TrialCost:
    """The cost of one trial, and the way it ended, or that it is paused."""

    number: int
    state: str
    cost: Cost

    @property
    def known(self) -> bool:
        """Return whether anything was measured: False for a trial that was lost or never began."""
        return self.cost != Cost()


@dataclass(frozen=True, slots=True)
class Pruning:
    """The trials that the pruner stopped: `steps` of the `planned` ones were made, of all folds
    together."""

    trials: int
    steps: int
    planned: int

    @property
    def saved(self) -> int:
        return self.planned - self.steps


@dataclass(frozen=True, slots=True)
class Spending:
    """`runs` counts trainings, `fresh_seeds` and `paused` trials among them, without `lost`
    trials, whose cost went with their process; `counted` are those of trials. `workers` has the
    time of each device that trained, in the order of their names; it is empty where the study's
    own process did, on one device. `engines` counts trials by what trained them, most first.
    `elapsed` is from the start of the first trial to the end of the last, None where the clock was
    set back meanwhile; `setting_up` is the seconds that went into neither training nor
    evaluating."""

    runs: int
    fresh_seeds: int
    lost: int
    spent: Cost
    setting_up: float
    parts: tuple[Part, ...]
    trials: tuple[TrialCost, ...]
    searching: Cost
    counted: int
    seconds_each: float
    elapsed: float | None
    engines: Mapping[str, int]
    useful_seconds: float | None
    pruning: Pruning | None
    workers: tuple[DeviceTime, ...] = ()
    paused: int = 0


def spending(facts: Facts) -> Spending | None:
    """Return what everything cost; None before any trial that trained has ended or was paused: a
    trial's cost is recorded then."""
    if all(map(_refused, facts.trained)):
        return None
    searching = total([trial.outcome.cost for trial in facts.trained])
    seeds = sum(len(one.scores) + one.failed for held in facts.repeats for one in held.candidates)
    lost, spent = sum(map(_lost, facts.trained)), facts.spent
    counted = len(facts.trained) - lost - sum(map(_refused, facts.trained))
    return Spending(
        runs=counted + seeds + sum(len(one.costs) for one in facts.finals),
        fresh_seeds=seeds,
        lost=lost,
        spent=spent,
        setting_up=spent.seconds - spent.train_seconds - spent.eval_seconds,
        parts=_parts(facts, counted, seeds),
        trials=tuple(TrialCost(trial.number, _state(facts, trial), trial.outcome.cost) for trial in facts.trained),
        searching=searching,
        counted=counted,
        seconds_each=searching.seconds / max(counted, 1),
        elapsed=_elapsed(facts),
        engines=_engines(facts),
        useful_seconds=_useful(facts),
        pruning=_pruning(facts),
        workers=_workers(spent),
        paused=len(facts.paused_records),
    )


def _state(facts: Facts, trial: TrialRecord) -> str:
    return "paused" if trial.number in facts.paused else trial.state


def _workers(spent: Cost) -> tuple[DeviceTime, ...]:
    elsewhere = any(one.worker for one in spent.devices) or len({one.device for one in spent.devices if one.device}) > 1
    return tuple(sorted(spent.devices, key=lambda one: one.place)) if elsewhere else ()


def _lost(trial: TrialRecord) -> bool:
    """Return whether a trial was lost with its cost; that of one that was lost on a worker is
    known."""
    lost = isinstance(trial.outcome, Failed) and trial.outcome.reason is FailureReason.LOST
    return lost and not trial.outcome.cost.seconds


def _refused(trial: TrialRecord) -> bool:
    """Return whether a trial was infeasible before it began to train."""
    refused = isinstance(trial.outcome, Failed) and trial.outcome.reason is FailureReason.INFEASIBLE
    return refused and trial.outcome.cost == Cost()


def _parts(facts: Facts, counted: int, seeds: int) -> tuple[Part, ...]:
    """Return the steps of the study in order, and their sum where there are several."""
    trials = [trial.outcome.cost for trial in facts.trained]
    found = [Part("trials", counted, trials[0] if facts.alone else total(trials))]
    if facts.repeats:
        found.append(Part("fresh_seeds", seeds, total([one.cost for one in facts.repeats])))
    found += _last_parts("retraining", [one.cost for one in facts.finals])
    found += _last_parts("refit", [one.refit.cost for one in facts.finals if one.refit])
    runs = sum(part.runs for part in found)
    return (*found, Part("all", runs, facts.spent)) if len(found) > 1 else tuple(found)


def _last_parts(kind: Literal["retraining", "refit"], costs: list[Cost]) -> list[Part]:
    """Return the trainings as one part. A single training keeps its training loss, which a sum
    leaves out."""
    return [Part(kind, len(costs), costs[0] if len(costs) == 1 else total(costs))] if costs else []


def _engines(facts: Facts) -> dict[str, int]:
    """Return the number of trials by engine; empty where no record names one."""
    counts = Counter(trial.outcome.cost.engine for trial in facts.trained)
    return {engine: number for engine, number in counts.most_common() if engine}


def _useful(facts: Facts) -> float | None:
    """Return the seconds of the completed trials; None where all trials completed, or none did."""
    whole = facts.completed
    if not 0 < len(whole) < len(facts.trained):
        return None
    return math.fsum(trial.outcome.cost.seconds for trial in whole)


def _pruning(facts: Facts) -> Pruning | None:
    pruned = [trial for trial in facts.trials if isinstance(trial.outcome, Pruned)]
    if not pruned:
        return None
    folds = facts.config.dataset.folds
    steps = sum(trial.steps_taken(folds) for trial in pruned)
    return Pruning(len(pruned), steps, sum(trial.planned_steps(folds) for trial in pruned))


def _elapsed(facts: Facts) -> float | None:
    times = [(datetime.fromisoformat(one.started), datetime.fromisoformat(one.finished)) for one in facts.trained]
    if any(finished < started for started, finished in times):
        return None
    return (max(finished for _, finished in times) - min(started for started, _ in times)).total_seconds()
