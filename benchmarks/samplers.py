"""A comparison of samplers on recorded learning curves: random points, TPE and the Gaussian
process.

    python -m benchmarks.samplers [--tables head adapters] [--seeds 20] [--samplers random tpe gp]

Studies of 10 and 16 trials are replayed as `benchmarks.replay` says: a point that a sampler asks
for is the nearest row of the table not yet used. One after the other, and a quarter of the trials
at once, which is what `engine.slots=auto` gives a sampler that learns; without pruning, and with
the race that stops trials for good. Of each: the best score, with the standard error of its mean over seeds, the
rows saved, and the rows trained until a search first had what random points without pruning have
at its end (the mean over the same seeds), in trials at full length; a search that never had it
counts as all its trials. In studies of more than 16 trials the Gaussian process takes minutes a
seed, and the tables have not many more points.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from math import sqrt
from statistics import mean, stdev
from typing import get_args

from benchmarks.curves import Table, read, recorded
from benchmarks.racing_rules import NONE, STOPPING, rules
from benchmarks.replay import Policy, Replayed, replay
from benchmarks.table import RESULTS, write
from sweep.config.schema import SamplerName

TRIALS = (10, 16)


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one sampler over all seeds. Scores are shares, not points; `until` is in
    trials at full length."""

    table: str
    trials: int
    slots: int
    pruner: str
    sampler: str
    seeds: int
    best: float
    error: float
    saved: float
    until: float

    @classmethod
    def of(cls, runs: Sequence[Replayed], wanted: float, **names: str | int) -> Measured:
        best = [run.best for run in runs]
        return cls(
            **names, trials=runs[0].trials, seeds=len(runs), best=mean(best), error=stdev(best) / sqrt(len(best)),
            saved=mean(run.saved for run in runs), until=mean(run.trials_until(wanted) for run in runs),
        )  # type: ignore[arg-type]  # fmt: skip

    def line(self) -> str:
        return (
            f"| {self.table}, {self.trials} | {self.slots} | {self.pruner} | {self.sampler} | {100 * self.best:.2f} "
            f"± {100 * self.error:.2f} | {100 * self.saved:.0f} % | {self.until:.1f} |"
        )


def measure(table: Table, *, seeds: int, samplers: Sequence[SamplerName]) -> Iterator[Measured]:
    for trials in TRIALS:
        slots = (1, trials // 4)
        yield from compared(table, trials=trials, slots=slots, seeds=seeds, pruners=(NONE, STOPPING), samplers=samplers)


def compared(
    table: Table,
    *,
    trials: int,
    slots: Sequence[int],
    seeds: int,
    pruners: Sequence[str],
    samplers: Sequence[SamplerName],
) -> Iterator[Measured]:
    """Yield the result of each sampler with each pruner in each number of slots."""
    at_random = [replay(table, Policy(), trials=trials, seed=seed) for seed in range(seeds)]
    wanted = mean(run.best for run in at_random)
    for count in slots:
        for pruner in pruners:
            for sampler in samplers:
                rule = rules(sampler)[pruner]
                runs = [rule.replayed(table, trials=trials, slots=count, seed=seed) for seed in range(seeds)]
                yield Measured.of(runs, wanted, table=table.name, slots=count, pruner=pruner, sampler=sampler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=recorded(), default=list(recorded()))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samplers", nargs="+", choices=get_args(SamplerName), default=["random", "tpe", "gp"])
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error("--seeds must be at least 2: the error of a mean comes from their spread")
    measured = (measure(read(name), seeds=given.seeds, samplers=given.samplers) for name in given.tables)
    show("samplers", chain.from_iterable(measured))


def show(benchmark: str, measured: Iterable[Measured]) -> None:
    """Print a line of a table for each, as it comes, and write all of them."""
    found = []
    print("| table, trials | slots | pruner | sampler | best | rows saved | trials' worth of rows until random's |")
    print("|---|---|---|---|---|---|---|")
    for one in measured:
        print(one.line(), flush=True)
        found.append(one)
    write(RESULTS / f"{benchmark}.json", {"samplers": [asdict(one) for one in found]})


if __name__ == "__main__":
    main()
