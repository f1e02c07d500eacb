"""Rows trained for the same best score: pruners replayed on recorded learning curves.

    python -m benchmarks.search_efficiency [--tables head adapters] [--seeds 10]
    python -m benchmarks.search_efficiency --record head --data FOLDER [--runs FOLDER] [--points N]

A table (`benchmarks/results/curves_*.json`, made by `--record` from Banking77's train.csv) holds
points of a search space and their validation accuracy after each epoch, or more often, at full
budget. A table with evaluations within the first epoch is replayed without them too ("after
epochs"). Studies of 10, 16 and 32 random points, one after the other and eight at once, are
replayed as `benchmarks.replay` says. Of each policy: the share of rows saved against the same
trials at full budget, by the whole search and until it first had a score within 0.2 points of
their best (nothing, where it never had); the share of cost saved, where a row evaluated costs a
third of a row trained and those trials are evaluated after each epoch; the share of seeds whose
best score is within 0.2 points of those trials' best; and how far it is behind them in points.
Wanted: 83 % fewer rows within 0.2 points. "Waiting" is no pruner, but what could be had if all
trials stood still after an evaluation until the best of them go on. Samplers are compared by
`benchmarks.samplers`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from statistics import mean, median

from optuna.pruners import BasePruner

from benchmarks.curves import TABLES, Table, read, record, recorded
from benchmarks.replay import WITHIN, Policy, Replayed, replay
from benchmarks.table import RESULTS, write
from sweep.config.schema import PrunerName
from sweep.search.stopping_race import StoppingRace

WANTED = 0.83
TRIALS, SLOTS = (10, 16, 32), (1, 8)
_OPTUNA_MEDIAN = {"n_startup_trials": 5, "n_warmup_steps": 0}
_OPTUNA_HALVING = {"min_resource": "auto", "reduction_factor": 4}
_EAGER_PERCENTILE = {"percentile": 10.0, "n_startup_trials": 1, "n_warmup_steps": 1}


def _halving(pruner: PrunerName, factor: float) -> Policy:
    return Policy(pruner=pruner, pruner_options={"min_resource": 1, "reduction_factor": factor})


_PRUNERS = {
    "none": Policy(),
    "median, as configured here": Policy(pruner="median"),
    "median, Optuna's options": Policy(pruner="median", pruner_options=_OPTUNA_MEDIAN),
    "percentile, as configured here": Policy(pruner="percentile"),
    "percentile 10 from the first report step": Policy(pruner="percentile", pruner_options=_EAGER_PERCENTILE),
    "hyperband, Optuna's options": Policy(pruner="hyperband"),
    "successive halving, Optuna's options": Policy(pruner="successive_halving", pruner_options=_OPTUNA_HALVING),
    **{f"successive halving, factor {f}": _halving("successive_halving", f) for f in (2, 3, 4, 8)},
    "racing, factor 3": Policy(pruner="racing"),
    **{f"racing, factor {f}": _halving("racing", f) for f in (1.5, 2, 4, 6)},
    **{
        f"racing, factor 3, {many}": Policy(pruner="racing", pruner_options={"finalists": finalists})
        for many, finalists in (("one finalist", 1), ("two finalists", 2))
    },
}


def _policies(table: Table) -> dict[str, Policy]:
    """Return all pruners, and races that keep the best few after one epoch, whose only rung is
    there."""
    race = {"min_resource": table.length // table.epochs, "reduction_factor": inf}
    best = {
        f"one epoch, the best {k} go on": Policy(pruner="racing", pruner_options=race | {"finalists": k})
        for k in (1, 2, 3)
    }
    return _PRUNERS | best


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one policy over all seeds. Scores are shares, not points."""

    table: str
    trials: int
    slots: int
    pruner: str
    seeds: int
    saved: float
    saved_until_there: float
    cost_saved: float
    within: float
    regret_median: float
    regret_mean: float
    evaluations: float  # a trial
    best: float
    ticks: float

    @classmethod
    def of(cls, table: Table, runs: Sequence[Replayed], *, slots: int, pruner: str) -> Measured:
        regrets, trials = [run.regret for run in runs], runs[0].trials
        cost = mean(table.cost(run.trained, run.evaluations) for run in runs)
        return cls(
            table.name, trials, slots, pruner, seeds=len(runs), saved=mean(run.saved for run in runs),
            saved_until_there=mean(run.saved_until_there for run in runs), cost_saved=1 - cost / (trials * table.full_cost),
            within=mean(regret <= WITHIN for regret in regrets), regret_median=median(regrets),
            regret_mean=mean(regrets), evaluations=mean(run.evaluations for run in runs) / trials,
            best=mean(run.best for run in runs), ticks=mean(run.ticks for run in runs),
        )  # fmt: skip

    def line(self) -> str:
        return (
            f"| {self.slots} | {self.pruner} | {100 * self.saved:.0f} % | {100 * self.saved_until_there:.0f} % "
            f"| {100 * self.cost_saved:.0f} % | {100 * self.within:.0f} % | {100 * self.regret_median:.2f} "
            f"| {100 * self.regret_mean:.2f} | {100 * self.best:.2f} | {self.ticks:.0f} |"
        )


def together(table: Table, *, trials: int, stages: Sequence[tuple[int, int]], seed: int) -> Replayed:
    """Replay trials that train at once and wait for each other: after each evaluation of `stages`,
    counted from 1, the given number of the best ones goes on."""
    going = chosen = random.Random(seed).sample(table.curves, trials)
    kept, spent, evaluations = dict(stages), [0], 0
    for place, gap in enumerate(table.gaps, 1):
        spent.append(spent[-1] + len(going) * gap)
        evaluations += len(going)
        going = sorted(going, key=lambda curve: -curve.scores[place - 1])[: kept.get(place)]
    points = tuple(max(curve.scores) for curve in chosen)
    scored = tuple(pair for curve in going for pair in zip(curve.scores, spent[1:], strict=True))
    return Replayed(trials * table.length, spent[-1], evaluations, table.length, points, scored)


def _stages(table: Table, trials: int) -> dict[str, tuple[tuple[int, int], ...]]:
    epoch = table.at.index(table.length // table.epochs) + 1
    halved = ((1, trials // 4), (2, trials // 8), (4, max(1, trials // 16)))
    return {
        **{f"waiting: one epoch each, the best {keep} to the end": ((epoch, keep),) for keep in (1, 2, 3)},
        "waiting: a 4th after one evaluation, an 8th after 2, a 16th after 4": halved,
    }


def _stopping(policy: Policy) -> BasePruner | None:
    """Return the race that stops trials for good, in place of the one that pauses them. The latter
    is measured by `benchmarks.five_knobs`."""
    return StoppingRace(**policy.pruner_options) if policy.pruner == "racing" else None


def measure(table: Table, *, seeds: int) -> Iterator[Measured]:
    for trials in (number for number in TRIALS if number <= len(table.curves)):
        for slots in SLOTS:
            for name, policy in _policies(table).items():
                runs = [
                    replay(table, policy, trials=trials, slots=slots, seed=seed, pruner=_stopping(policy))
                    for seed in range(seeds)
                ]
                yield Measured.of(table, runs, slots=slots, pruner=name)
        for name, stages in _stages(table, trials).items():
            runs = [together(table, trials=trials, stages=stages, seed=seed) for seed in range(seeds)]
            yield Measured.of(table, runs, slots=trials, pruner=name)


def _with_and_without(table: Table) -> list[Table]:
    return [table, table.after_epochs()] if table.early else [table]


def _print(found: Sequence[Measured]) -> None:
    group = None
    for one in found:
        if group != (group := (one.table, one.trials)):
            print(f"\n{one.table}, studies of {one.trials} trials\n")
            print(
                "| slots | pruner | rows saved | until there | cost saved | within 0.2 points | behind, median | mean | best "
                "| report steps in time |"
            )
            print("|---|---|---|---|---|---|---|---|---|---|")
        print(one.line())


def _publish(found: Sequence[Measured]) -> None:
    """Write the results, and print a line for each policy that reaches the wanted numbers."""
    whole = {"wanted": {"saved": WANTED, "within": WITHIN}, "policies": [asdict(one) for one in found]}
    write(RESULTS / "search_efficiency.json", whole)
    reached = [one for one in found if one.saved >= WANTED and one.regret_median <= WITHIN]
    wanted = f"{100 * WANTED:.0f} % fewer rows and a median seed within {100 * WITHIN:.1f} points"
    print(f"\nwanted, {wanted}: {len(reached)} of {len(found)}")
    for one in reached:
        print(f"{one.table}, {one.trials} trials: {one.line()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=recorded(), default=list(recorded()))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--record", choices=TABLES, help="train this table, or what is missing of it")
    parser.add_argument("--data", type=Path, help="with --record: folder with Banking77's train.csv and test.csv")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/search_efficiency"), help="with --record: run directories"
    )
    parser.add_argument("--points", type=int, help="with --record: how many, if not as many as the table should have")
    given = parser.parse_args()
    if given.record:
        if given.data is None:
            parser.error("--record needs --data")
        record(given.record, given.data, given.runs, points=given.points)
        return
    found = [
        one
        for name in given.tables
        for table in _with_and_without(read(name))
        for one in measure(table, seeds=given.seeds)
    ]
    _print(found)
    _publish(found)


if __name__ == "__main__":
    main()
