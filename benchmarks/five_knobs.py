"""What pruners save and miss where all five knobs are searched: replays on recorded curves.

    python -m benchmarks.five_knobs [--tables quickstart …] [--seeds 20]
    python -m benchmarks.five_knobs --record banking77_quickstart --data FOLDER [--runs FOLDER] [--points N]

The tables (`benchmarks/five_knob_tables.py`) hold random points over learning rate, weight decay,
warmup, batch size and epochs, each trained to its end, with score and loss at each early
evaluation. Studies of 10, 16 and 32 random points, in one slot and in eight, are replayed as
`benchmarks.replay` says. Of each pruner: the share of train rows saved against the same trials at
full length, promoted trials included; the share of seeds whose best score is within 0.2 points of
those trials' best; and how far it is behind them, in points. Wanted: 80 % fewer rows, 83 % with 32
trials, and within 0.2 points in 19 of 20 seeds.

Hindsight is the bound on every rule that evaluates each trial once: beside the first evaluations
it trains only the cheapest trial whose best score is within 0.2 points. A second one trains each
trial as far as the opening of racing by rungs first.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

from optuna.pruners import BasePruner

from benchmarks.curves import Curve, Table
from benchmarks.five_knob_tables import RECIPES, read, record, recorded
from benchmarks.promoting import FreezeThaw, PromotionAsha, RungRace
from benchmarks.replay import WITHIN, Policy, Replayed, replay
from benchmarks.table import RESULTS, write
from sweep.search.racing import OPENING
from sweep.search.stopping_race import StoppingRace

TRIALS, SLOTS = (10, 16, 32), (1, 8)
KEPT = 0.95  # of the seeds


@dataclass(frozen=True, slots=True)
class Rule:
    """A pruner, by a policy or made for each replay."""

    name: str
    policy: Policy = Policy()
    make: Callable[[int], BasePruner] | None = None  # of the number of trials

    def replayed(self, table: Table, *, trials: int, slots: int, seed: int) -> Replayed:
        made = None if self.make is None else self.make(trials)
        return replay(table, self.policy, trials=trials, slots=slots, seed=seed, pruner=made)


RULES = (
    Rule("racing (default)", Policy(pruner="racing")),
    Rule("racing, 20 % of the rows", Policy(pruner="racing", pruner_options={"budget": 0.2})),
    Rule("racing by rungs, 35 % of the rows", make=lambda trials: RungRace(trials=trials, budget=0.35)),
    Rule("racing that stops for good", make=lambda _: StoppingRace()),
    Rule("median", Policy(pruner="median")),
    Rule("successive halving", Policy(pruner="successive_halving")),
    Rule("hyperband", Policy(pruner="hyperband")),
    Rule("promotion ASHA, factor 3", make=lambda _: PromotionAsha()),
    Rule("freeze-thaw, 20 % of the rows", make=lambda _: FreezeThaw()),
    Rule("none", Policy()),
)
# The bounds, by the progress that each trial comes to.
HINDSIGHT = {"hindsight": 0.0, "hindsight after the rungs' opening": OPENING}


def hindsight(run: Replayed, table: Table, opening: float) -> Replayed:
    """Return the search that trains the fewest rows for a score within `WITHIN` of the best, where
    each trial trains until its first evaluation from the progress `opening` on."""

    def opened(curve: Curve) -> int:
        at = table.at_of(curve)
        return next(step for place, step in enumerate(at) if curve.progress(place, at[-1], step) >= opening)

    def left(curve: Curve) -> int:
        return table.at_of(curve)[-1] - opened(curve)

    chosen = min((curve for curve in run.curves if max(curve.scores) >= run.full - WITHIN), key=left)
    trained = sum(map(opened, run.curves)) + left(chosen)
    return replace(run, trained=trained, scored=((max(chosen.scores), trained),))


@dataclass(frozen=True, slots=True)
class Measured:
    """Over all seeds. Scores are shares, not points."""

    table: str
    rule: str
    trials: int
    slots: int
    seeds: int
    saved: float
    within: float
    behind: float

    @classmethod
    def of(cls, table: str, runs: Sequence[Replayed], *, rule: str, slots: int) -> Measured:
        return cls(
            table, rule, runs[0].trials, slots, len(runs), saved=mean(run.saved for run in runs),
            within=mean(run.regret <= WITHIN for run in runs), behind=mean(run.regret for run in runs),
        )  # fmt: skip

    @property
    def wanted(self) -> bool:
        """Return whether it saves and keeps as much as is wanted."""
        return self.saved >= wanted_saving(self.trials) and self.within >= KEPT

    def cell(self) -> str:
        return f"{100 * self.saved:.0f} % ({100 * self.within:.0f}; {100 * self.behind:.2f})"


def wanted_saving(trials: int) -> float:
    return 0.83 if trials >= 32 else 0.80


def measure(table: Table, *, seeds: int, rules: Sequence[Rule] = RULES) -> Iterator[Measured]:
    """Yield what each rule and each bound reaches in each cell of a table."""
    for slots in SLOTS:
        for name, opening in HINDSIGHT.items():
            for trials in _sizes(table):
                whole = [RULES[-1].replayed(table, trials=trials, slots=slots, seed=seed) for seed in range(seeds)]
                runs = [hindsight(run, table, opening) for run in whole]
                yield Measured.of(table.name, runs, rule=name, slots=slots)
        for rule in rules:
            for trials in _sizes(table):
                runs = [rule.replayed(table, trials=trials, slots=slots, seed=seed) for seed in range(seeds)]
                yield Measured.of(table.name, runs, rule=rule.name, slots=slots)


def _sizes(table: Table) -> list[int]:
    return [number for number in TRIALS if number <= len(table.curves)]


def _print(name: str, found: Sequence[Measured]) -> None:
    print(
        f"\n{name}\n\n| slots | pruner | {' | '.join(f'{trials} trials' for trials in TRIALS)} |\n|---|---|---|---|---|"
    )
    for slots in SLOTS:
        for rule in (*HINDSIGHT, *(rule.name for rule in RULES)):
            cells = [one.cell() for one in found if one.rule == rule and one.slots == slots]
            print(f"| {slots} | {rule} | {' | '.join(cells)} |")


def _publish(found: Sequence[Measured]) -> None:
    write(RESULTS / "five_knobs.json", {"rules": [asdict(one) for one in found]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=recorded(), default=list(recorded()))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--record", choices=tuple(RECIPES), help="train this table, or what is missing of it")
    parser.add_argument("--data", type=Path, help="with --record: folder with banking77/ and semeval2018_ec/")
    parser.add_argument("--runs", type=Path, default=Path("runs/five_knobs"), help="with --record: run directories")
    parser.add_argument("--points", type=int, help="with --record: how many, if not as many as the table should have")
    given = parser.parse_args()
    if given.record:
        if given.data is None and RECIPES[given.record].source:
            parser.error("--record needs --data")
        record(given.record, given.data or Path(), given.runs, points=given.points)
        return
    found: list[Measured] = []
    for name in given.tables:
        table = list(measure(read(name), seeds=given.seeds))
        _print(name, table)
        found += table
    _publish(found)


if __name__ == "__main__":
    main()
