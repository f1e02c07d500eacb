"""Memory growth over a hundred short trials, by engine.

    python -m benchmarks.memory [--engines packed trainer] [--trials 100] [--warm-up 20] [OVERRIDES…]

LoRA on MiniLM over 32 rows of the help-desk task, one epoch, one evaluation, random values, W&B
offline. After each trial: the bytes resident in the process (on Linux without the pages of files,
which come and go as the system likes), in its children (W&B's service), and allocated on the GPU
where there is one. The slope is that of the least-squares line through the trials after the
warm-up. Its interval (95 %, Student's t) takes the residuals for independent; where memory comes
in blocks or comes and goes they are not, so that it is narrower than the truth. Read it with the
difference of two medians: the last ten trials, and the first ten after the warm-up.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median

from scipy.stats import t as student

from benchmarks.sides import Point, project
from benchmarks.table import Row, publish

MIB = 2**20
LEAST = 20  # trials after the warm-up
EXPERIMENT = (
    "+experiment=quickstart", "trainer.num_train_epochs=1", "dataset.max_train_samples=32", "dataset.max_eval_samples=32",
)  # fmt: skip
KINDS = ("this process", "its children", "GPU")


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth of memory a trial, in the unit of the values: `slope`, half its 95 % interval
    (`margin`), and the difference of the last and the first median (`risen`)."""

    slope: float
    margin: float
    risen: float


def growth(values: Sequence[float]) -> Growth:
    """Return the growth of values after the warm-up, at least twenty."""
    count, mean = len(values), fmean(values)
    places = [index - (count - 1) / 2 for index in range(count)]
    spread = sum(place**2 for place in places)
    slope = sum(place * value for place, value in zip(places, values, strict=True)) / spread
    residuals = [value - mean - slope * place for place, value in zip(places, values, strict=True)]
    error = sqrt(sum(one**2 for one in residuals) / (count - 2) / spread)
    return Growth(slope, float(student.ppf(0.975, count - 2)) * error, median(values[-10:]) - median(values[:10]))


def main() -> None:
    given = _arguments()
    # Rates and batch sizes differ, so that trials end at different times.
    points: list[Point] = [
        {"optimizer.learning_rate": 1e-4 * 1.02**number, "trainer.per_device_train_batch_size": (4, 8, 16)[number % 3]}
        for number in range(given.trials)
    ]
    rows: list[Row] = []
    notes: dict[str, float | str] = {"trials": str(given.trials), "left out as warm-up": str(given.warm_up)}
    for engine in given.engines:
        side = project(
            points, [*EXPERIMENT, *given.overrides], engine=engine, slots=given.slots, limit=given.limit, weigh=True
        )
        notes["device"] = side.device
        for index, kind in enumerate(KINDS):
            values = [sample[index] / MIB for sample in side.memory[given.warm_up :]]
            if not any(values):
                continue  # no GPU, no children
            found = growth(values)
            name = f"engine={engine}, {kind}"
            rows.append(Row(name, values, unit="MiB"))
            notes[f"{name}: MiB a trial"] = f"{found.slope:+.4f} ± {found.margin:.4f}"
            notes[f"{name}: last ten trials less first ten, MiB"] = f"{found.risen:+.2f}"
    notes |= {"overrides": " ".join(given.overrides)} if given.overrides else {}
    publish("memory_gpu" if notes["device"] != "cpu" else "memory", rows, notes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=("packed", "trainer"), default=["packed", "trainer"])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=20, help="first trials that are left out")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--limit", type=float, default=1800, help="seconds that one engine's search may take")
    parser.add_argument("overrides", nargs="*", help="such as trainer.bf16=true, on a GPU")
    given = parser.parse_intermixed_args()
    if given.trials - given.warm_up < LEAST:
        parser.error(f"--trials is {given.trials} and --warm-up {given.warm_up}, but {LEAST} trials must be left")
    return given


if __name__ == "__main__":
    main()
