"""Cost of snapshots of LoRA trials on MiniLM.

    python -m benchmarks.snapshots [--engines trainer packed] [--trials 2] [--rows 256] [--epochs 2]

The same trials (LoRA, rank 8, query and value, over the help-desk task) are searched without
snapshots, with those of the defaults, and with one after each optimizer step. A snapshot takes
from the report before it until the study has written it: the state is encoded, and the file is on
disk. Its cost is that time over the time that the trials trained, by their records. The searches
without snapshots and with those of the defaults are printed as well: they differ by more than
snapshots cost.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from statistics import fmean

from benchmarks.sides import Event, Point, Side, project
from benchmarks.table import Row, publish

PROMISED = 1.0  # per cent of training time
KINDS = {
    "never": ("study.snapshots=never",),
    "as by default": (),
    "after each step": ("study.snapshot_every=0",),
}


def main() -> None:
    given = _arguments()
    points: list[Point] = [{"trainer.seed": number} for number in range(given.trials)]
    asked = (
        "+experiment=quickstart", f"trainer.num_train_epochs={given.epochs}", "dataset.max_eval_samples=64",
        f"dataset.max_train_samples={given.rows}",
    )  # fmt: skip
    rows: list[Row] = []
    notes: dict[str, float | str] = {"trials of each": str(given.trials)}
    for engine in given.engines:
        sides = {
            kind: project(points, (*asked, *more), engine=engine, slots=given.trials, limit=given.limit)
            for kind, more in KINDS.items()
        }
        rows += [
            Row(f"{engine}: one snapshot", [1000 * each for each in costs(sides["after each step"])], unit="ms"),
            Row(f"{engine}: snapshots as by default", [share(sides["as by default"])], PROMISED, unit="%"),
            Row(f"{engine}: one snapshot a minute", [
                100 * each / 60 for each in costs(sides["after each step"])
            ], PROMISED, unit="%"),
        ]  # fmt: skip
        notes[f"{engine}: bytes of a snapshot"] = fmean(sizes(sides["after each step"]))
        notes[f"{engine}: snapshots as by default, number"] = float(len(sizes(sides["as by default"])))
        for kind, side in sides.items():
            notes[f"{engine}: seconds of the search, {kind}"] = side.seconds
    publish("snapshots", rows, notes)


def costs(side: Side) -> list[float]:
    """Return the seconds of each snapshot: since the engine's report before it, and in the study."""
    return [later.time - earlier.time - earlier.took + later.took for earlier, later in _before(side)]


def sizes(side: Side) -> list[int]:
    return [event.rows for event in side.timeline if event.kind == "snapshot"]


def share(side: Side) -> float:
    """Return the time of all snapshots, in per cent of training time."""
    return 100 * sum(costs(side)) / sum(trial.inside for trial in side.trials)


def _before(side: Side) -> Iterator[tuple[Event, Event]]:
    return ((earlier, later) for earlier, later in pairwise(side.timeline) if later.kind == "snapshot")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=("trainer", "packed"), default=["trainer", "packed"])
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--rows", type=int, default=256, help="to train on")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=900, help="seconds that a single process may take")
    return parser.parse_args()


if __name__ == "__main__":
    main()
