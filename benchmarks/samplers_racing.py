"""Random points and TPE with each form of racing, on the tables over the five knobs.

    python -m benchmarks.samplers_racing [--tables semeval_quickstart …] [--seeds 20]

Racing that pauses trials shows a sampler the openings of all points before one completes; racing
that stops for good, and no pruner, show it whole trials. Studies of 16 trials are replayed on the
recorded points and studies of 32 on 1,000 points that are predicted from them
(`benchmarks/surrogate.py`), as `benchmarks.replay` says: a point that the sampler asks for is the
nearest one not yet used. In one slot and in eight. Each line has the mean of the best scores with
its standard error, the rows saved, and the rows until a search first had the mean final score of
random points without a pruner, in trials at full length. A search that never had it counts whole.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import chain
from statistics import mean

from benchmarks.curves import Table
from benchmarks.five_knob_tables import read, recorded
from benchmarks.racing_rules import NONE, RACING, STOPPING, rules
from benchmarks.replay import Policy, replay
from benchmarks.samplers import Measured, show
from benchmarks.surrogate import surrogate
from sweep.config.schema import SamplerName

TABLES = ("semeval_quickstart", "banking77_five_knobs")
SAMPLERS: tuple[SamplerName, ...] = ("random", "tpe")
POINTS, SLOTS = 1000, (1, 8)


def measure(table: Table, *, trials: int, seeds: int) -> Iterator[Measured]:
    at_random = [replay(table, Policy(), trials=trials, seed=seed) for seed in range(seeds)]
    wanted = mean(run.best for run in at_random)
    for slots in SLOTS:
        for pruner in (NONE, RACING, STOPPING):
            for sampler in SAMPLERS:
                rule = rules(sampler)[pruner]
                runs = [rule.replayed(table, trials=trials, slots=slots, seed=seed) for seed in range(seeds)]
                yield Measured.of(runs, wanted, table=table.name, slots=slots, pruner=pruner, sampler=sampler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=recorded(), default=list(TABLES))
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    show("samplers_racing", chain.from_iterable(_of(read(name), given.seeds) for name in given.tables))


def _of(table: Table, seeds: int) -> Iterator[Measured]:
    yield from measure(table, trials=16, seeds=seeds)
    yield from measure(surrogate(table, points=POINTS), trials=32, seeds=seeds)


if __name__ == "__main__":
    main()
