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
from functools import partial
from itertools import chain

from benchmarks.curves import Table
from benchmarks.five_knob_tables import read, recorded
from benchmarks.racing_rules import NONE, RACING, STOPPING
from benchmarks.samplers import Measured, compared, show
from benchmarks.surrogate import surrogate
from sweep.config.schema import SamplerName

TABLES = ("semeval_quickstart", "banking77_five_knobs")
SAMPLERS: tuple[SamplerName, ...] = ("random", "tpe")
PRUNERS = (NONE, RACING, STOPPING)
POINTS, SLOTS = 1000, (1, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=recorded(), default=list(TABLES))
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    show("samplers_racing", chain.from_iterable(_of(read(name), given.seeds) for name in given.tables))


def _of(table: Table, seeds: int) -> Iterator[Measured]:
    search = partial(compared, slots=SLOTS, seeds=seeds, pruners=PRUNERS, samplers=SAMPLERS)
    yield from search(table, trials=16)
    yield from search(surrogate(table, points=POINTS), trials=32)


if __name__ == "__main__":
    main()
