"""Fifty trials of a new head on a frozen base: the project, and the Trainer over the frozen base,
trial after trial.

    python -m benchmarks.frozen_base [--data FOLDER] [--baseline 4]

MiniLM, the same fifty trials (rate, decay, warmup, batch size, 3 to 6 epochs), rows, evaluations
each epoch and W&B offline in both; the base is loaded once in both. The project's time runs from
the beginning of its first trial to the end of its last one, features included, from an empty
cache. The baseline trains `--baseline` of the fifty, evenly chosen, and its time for all of them
is put in proportion to epochs. `--data` is a folder with Banking77's train.csv and test.csv, of
which every tenth training row and every tenth validation row is used; without it, it is the
help-desk set. Accuracies are compared after the first epoch: the Trainer's evaluation draws a
random number, so that from then on it sees the rows in another order.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.process import run
from benchmarks.table import Row, publish

TRIALS = 50
WANTED = 37.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with Banking77's train.csv and test.csv")
    parser.add_argument("--baseline", type=int, default=4, help="how many of the fifty the baseline trains")
    given = parser.parse_args()
    experiment = ["+experiment=quickstart", "adapter=head"]
    if given.data:
        experiment += ["dataset=banking77", f"dataset.path={given.data.resolve()}"]
        experiment += ["dataset.train_every_nth=10", "dataset.eval_every_nth=10"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = _project(experiment, folder)
        baseline = _baseline(experiment, records, folder, count=given.baseline)
    project = (_moment(records[-1]["finished"]) - _moment(records[0]["started"])).total_seconds()
    measured, every = sum(_epochs(record) for record in baseline), sum(map(_epochs, records))
    estimate = sum(record["seconds"] for record in baseline) * every / measured
    rows = [
        Row("sweep: fifty trials", [project]),
        Row("sweep: seconds of one trial", [record["outcome"]["cost"]["seconds"] for record in records]),
        Row("Trainer: seconds of one trial", [record["seconds"] for record in baseline]),
        Row("Trainer: fifty trials, by its epochs", [estimate]),
    ]
    gaps = [abs(record["accuracy"] - _first(record)) for record in baseline]
    publish("frozen_base_banking77" if given.data else "frozen_base", rows, {
        "data": "banking77, every tenth row" if given.data else "helpdesk", "epochs of the fifty": str(every),
        "epochs measured of the baseline": str(measured), "Trainer / project": estimate / project, "wanted": WANTED,
        "largest difference in accuracy after one epoch": max(gaps),
    })  # fmt: skip


def _project(experiment: list[str], folder: Path) -> list[dict[str, Any]]:
    run("sweep", [
        *experiment, f"run_dir={folder / 'run'}", f"study.n_trials={TRIALS}", "study.sampler=random", "study.pruner=none",
        "trainer.eval_strategy=epoch", "tracker.mode=offline",
    ], folder)  # fmt: skip
    return [json.loads(path.read_text()) for path in sorted(folder.glob("run/trials/*/record.json"))]


def _baseline(
    experiment: list[str], records: list[dict[str, Any]], folder: Path, *, count: int
) -> list[dict[str, Any]]:
    chosen = [records[place * len(records) // count] for place in range(count)]
    asked, answered = folder / "trials.json", folder / "out.json"
    asked.write_text(json.dumps(chosen))
    run("benchmarks.frozen_trainer", [str(asked), str(answered), *experiment], folder)
    found: list[dict[str, Any]] = json.loads(answered.read_text())
    return [record | measured for record, measured in zip(chosen, found, strict=True)]


def _epochs(record: dict[str, Any]) -> int:
    return int(record["params"]["trainer.num_train_epochs"])


def _first(record: dict[str, Any]) -> float:
    return float(record["outcome"]["evals"][0]["metrics"]["eval/accuracy"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


if __name__ == "__main__":
    main()
