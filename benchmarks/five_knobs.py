"""The cost of racing if epochs and warmup are searched too, replayed on 40 trials of the
quickstart.

    python -m benchmarks.five_knobs [--draws 200]

`results/five_knobs_quickstart.json` holds random points of the quickstart's search space (learning
rate, weight decay, warmup, batch size, 3 to 6 epochs), each trained to its end, with its score on
139 validation rows at each evaluation. Studies of 6 trials in one slot, of 8 in two, and of 10 and
32 in eight draw points at random, none twice, and are replayed as `benchmarks.replay` says. Of
each pruner: the share of train rows saved against the same trials at full length; the share of
draws whose best score is within one validation row of those trials' best; how far it is behind
them, in points; and the fewest trials of a draw that ended their first epoch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from statistics import mean

from benchmarks.curves import Curve, Table
from benchmarks.replay import Policy, Replayed, replay
from benchmarks.table import RESULTS
from sweep.config.folders import sweeps_dir
from sweep.config.space import load
from sweep.config.steps import nearest
from sweep.provenance import machine, now, package_versions

STUDIES = ((6, 1), (8, 2), (10, 8), (32, 8))
UNIT = Fraction(1, 8)  # of an epoch: the finest interval of early evaluations
_DATA = RESULTS / "five_knobs_quickstart.json"


@dataclass(frozen=True, slots=True)
class Rule:
    """A pruner, and whether it leaves trials alone within their warmup."""

    name: str
    policy: Policy
    spared: bool = True


RULES = (
    Rule("racing, warmup judged too, three finalists", Policy(pruner="racing", pruner_options={"finalists": 3}), False),
    Rule("racing, three finalists", Policy(pruner="racing", pruner_options={"finalists": 3})),
    Rule("racing (default)", Policy(pruner="racing")),
    Rule("median, warmup judged too", Policy(pruner="median"), False),
    Rule("median", Policy(pruner="median")),
    Rule("successive halving, warmup judged too", Policy(pruner="successive_halving"), False),
    Rule("successive halving", Policy(pruner="successive_halving")),
)


def read() -> Table:
    found = json.loads(_DATA.read_text())
    curves = tuple(_curve(entry["params"], entry["evals"]) for entry in found["trials"])
    space, faults = load(sweeps_dir() / "quickstart.yaml", {})
    assert not faults, faults
    longest = max((curve.at for curve in curves), key=lambda at: at[-1])
    return Table(found["name"], found["rows"], found["validation_rows"], space, curves, longest, float(UNIT))


def _curve(params: dict[str, float], evals: Sequence[Sequence[float]]) -> Curve:
    at = tuple(nearest(Fraction(epoch) / UNIT) for epoch, *_ in evals)
    return Curve(
        params, tuple(score for _, _, score, _ in evals), at=at, losses=tuple(loss for *_, loss in evals),
        steps=tuple(int(step) for _, step, *_ in evals),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """Over all draws. Scores are shares, not points."""

    rule: str
    trials: int
    slots: int
    draws: int
    saved: float
    within: float
    behind: float
    first_epochs: int  # the fewest of a draw

    @classmethod
    def of(cls, runs: Sequence[Replayed], row: float, *, rule: str, slots: int) -> Measured:
        return cls(
            rule, runs[0].trials, slots, len(runs), saved=mean(run.saved for run in runs),
            within=mean(run.regret <= row + 1e-6 for run in runs), behind=mean(run.regret for run in runs),
            first_epochs=min(sum(trained >= 1 / UNIT for trained in run.lengths) for run in runs),
        )  # fmt: skip

    def line(self) -> str:
        return (
            f"| {self.trials} | {self.slots} | {self.rule} | {100 * self.saved:.0f} % | {100 * self.within:.0f} % "
            f"| {100 * self.behind:.2f} | {self.first_epochs} |"
        )


def measure(table: Table, *, draws: int) -> Iterator[Measured]:
    row = 1 / table.validation_rows
    for trials, slots in STUDIES:
        for rule in RULES:
            runs = [
                replay(table, rule.policy, trials=trials, slots=slots, seed=seed, spared=rule.spared)
                for seed in range(draws)
            ]
            yield Measured.of(runs, row, rule=rule.name, slots=slots)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    found = list(measure(read(), draws=parser.parse_args().draws))
    print(
        "| trials | slots | pruner | rows saved | within one row | behind, points | end their first epoch, at least |"
    )
    print("|---|---|---|---|---|---|---|")
    for one in found:
        print(one.line())
    whole = {
        "benchmark": "five_knobs", "date": now(), "machine": machine(), "versions": package_versions(),
        "rules": [asdict(one) for one in found],
    }  # fmt: skip
    (RESULTS / "five_knobs.json").write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
