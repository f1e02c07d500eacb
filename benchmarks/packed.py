"""Eight LoRA trials on MiniLM: packed on one base, and one after the other by
`Trainer.hyperparameter_search`.

    python -m benchmarks.packed [--data FOLDER] [--rows 512] [--epochs 1] [--rounds 3] [--dynamic 8] [--padded 2]

Rank 8 on query and value, dropout 0.05; eight learning rates, four with batches of 8 and four with
batches of 16; texts of at most 128 tokens; accuracy each epoch; W&B offline. The baseline loads
and wraps the model in `model_init`, tracks with the Trainer's own callback, prunes nothing, and is
run twice: its batches padded to their longest row (`dynamic`), and every row to 128 tokens
(`padded`). With --against grouped, once more with the Trainer's own grouping of rows by length,
which the project uses.

Times are of the search alone (from before its first trial to after its last, every model loaded
inside) and of the whole process: with imports, data and checks, in the project without what
follows a search. A variant may train the first few trials only (`--dynamic`, `--padded`; even
numbers, since batch sizes alternate): its search is then put in proportion, and the table says so.
Each round runs every side once, in turn. `--data` is a folder with Banking77's train.csv and
test.csv; without it, it is the help-desk set. Validation rows are a quarter of the training rows.
All sides must have trained and evaluated the same rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.sides import Point, Side, agreement, baseline, check_same_work, in_proportion, project, ratio, say
from benchmarks.table import Row, publish

RATES = (1e-3, 1.4e-3, 1.9e-3, 2.6e-3, 3.5e-3, 4.7e-3, 6.3e-3, 8e-3)
POINTS: tuple[Point, ...] = tuple(
    {"optimizer.learning_rate": rate, "trainer.per_device_train_batch_size": (8, 16)[index % 2]}
    for index, rate in enumerate(RATES)
)
PROMISED = {"dynamic": 4.0, "padded": 30.0}
NAMES = {
    "dynamic": "Trainer, dynamic padding",
    "grouped": "Trainer, dynamic padding, grouped by length",
    "padded": "Trainer, padded to 128",
}


def main() -> None:
    given = _arguments()
    counts = {"dynamic": given.dynamic, "grouped": given.dynamic, "padded": given.padded}
    experiment = _experiment(given)
    ours: list[Side] = []
    theirs: dict[str, list[Side]] = {variant: [] for variant in given.against}
    for number in range(given.rounds):
        ours.append(project(POINTS, experiment, engine=given.engine, slots=len(POINTS), limit=given.limit))
        say(number, f"sweep, engine={given.engine}", ours[-1])
        for variant, sides in theirs.items():
            sides.append(baseline(POINTS[: counts[variant]], experiment, variant=variant, limit=given.limit))
            say(number, NAMES[variant], sides[-1])
            check_same_work(ours[-1], sides[-1], NAMES[variant])
    rows, notes = summary(ours, theirs, given.engine)
    publish("packed_banking77" if given.data else "packed", rows, {
        "data": "banking77" if given.data else "helpdesk",
        "training rows of a trial, epochs": f"{ours[0].trials[0].rows // given.epochs}, {given.epochs}",
        "rounds": str(given.rounds), "threads": str(ours[0].threads), "device": ours[0].device, **notes,
    })  # fmt: skip


def summary(
    ours: Sequence[Side], theirs: dict[str, list[Side]], engine: str
) -> tuple[list[Row], dict[str, float | str]]:
    """The table, and the ratios below it."""
    count = len(ours[0].trials)
    searches, processes = [side.seconds for side in ours], [side.process for side in ours]
    name = f"sweep, engine={engine}"
    rows = [Row(f"{name}: {count} trials", searches), Row(f"{name}: whole process", processes)]
    notes: dict[str, float | str] = {}
    for variant, sides in theirs.items():
        measured = len(sides[0].trials)
        estimates = [in_proportion(side, count) for side in sides]
        whole = [side.start_up + estimate for side, estimate in zip(sides, estimates, strict=True)]
        how = "" if measured == count else f", by {measured}"
        rows += [
            Row(f"{NAMES[variant]}: {count} trials{how}", estimates),
            Row(f"{NAMES[variant]}: whole process{how}", whole),
        ]
        if measured < count:
            notes[f"{NAMES[variant]}"] = f"{measured} of {count} trials were run, and put in proportion"
        notes[f"{NAMES[variant]} / sweep, whole process"] = ratio(whole, processes)
        notes[f"{NAMES[variant]} / sweep, search alone"] = ratio(estimates, searches)
        if measured == count:
            processor = [side.cpu for side in sides], [side.cpu for side in ours]
            notes[f"{NAMES[variant]} / sweep, processor time"] = ratio(*processor)
        if variant in PROMISED:
            notes[f"{NAMES[variant]} / sweep, promised"] = PROMISED[variant]
    first = next(iter(theirs.values()))
    notes |= agreement(ours[0], first[0])
    return rows, notes


def _experiment(given: argparse.Namespace) -> list[str]:
    data = f"dataset.path={given.data.resolve()}" if given.data else "dataset=helpdesk"
    return [
        "+experiment=minilm_banking77_lora", data, "model.pooling=null", "adapter.r=8", "adapter.lora_alpha=16",
        "dataset.max_length=128",
        f"dataset.max_train_samples={given.rows}", f"dataset.max_eval_samples={given.rows // 4}",
        f"trainer.num_train_epochs={given.epochs}",
    ]  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with Banking77's train.csv and test.csv")
    parser.add_argument("--rows", type=int, default=512, help="training rows; a multiple of 16 makes whole batches")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=("packed", "trainer", "auto"), default="packed")
    parser.add_argument("--against", nargs="+", choices=tuple(NAMES), default=["dynamic", "padded"])
    parser.add_argument("--dynamic", type=int, choices=(2, 4, 6, 8), default=8, help="trials with dynamic padding")
    parser.add_argument("--padded", type=int, choices=(2, 4, 6, 8), default=2, help="trials padded to 128 tokens")
    parser.add_argument("--limit", type=float, default=3600, help="seconds that a single process may take")
    return parser.parse_args()


if __name__ == "__main__":
    main()
