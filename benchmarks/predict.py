"""`sweep predict` beside the bare forward pass of the same rows.

    python -m benchmarks.predict [--rows 2000] [--rounds 3] [--threads 2]

The model is MiniLM with a LoRA adapter (first weights: they cost what trained ones do), the rows
are texts of the help-desk task, over and over, in one CSV file. One side is the whole loop of the
command, from the checking of the file to the renaming of the output, without the loading of the
model. The other side is given tensors: all rows are tokenised, ordered by length and padded batch
by batch before its clock starts, and it makes nothing but forward passes. Sides alternate.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import torch
from torch import Tensor

import sweep
from benchmarks.table import Row, publish
from sweep.config.settings import TrainSettings
from sweep.data.collate import padder
from sweep.data.labels import LabelSpace
from sweep.data.stream import TextFormat
from sweep.model.artifact import save
from sweep.model.base_model_cache import BaseModelCache
from sweep.plan.plan import make_plan
from sweep.predict.classifier import Classifier
from sweep.predict.columns import Added
from sweep.predict.labelling import label_rows
from sweep.predict.output import Shape, file_writer
from sweep.predict.rows import checked, growing, opened, windows
from sweep.predict.tally import Tally
from sweep.predict.tokens import Tokens

PROMISED = 1.2  # times the bare forward pass
_FIRST = 64  # rows that warm the model up

Batch = dict[str, Tensor]


def main() -> None:
    given = _arguments()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, texts = _model(folder / "model")
        rows = list(islice(cycle(texts), given.rows))
        _write(folder / "rows.csv", rows)
        batches = list(_batches(model, rows))
        model.predict(rows[:_FIRST])
        command, bare = list[float](), list[float]()
        for _ in range(given.rounds):
            command.append(_seconds_of_command(model, folder))
            bare.append(_seconds_of_passes(model, batches))
    times = [ours / theirs for ours, theirs in zip(command, bare, strict=True)]
    publish(
        "predict",
        [Row("sweep predict", command), Row("bare forward pass", bare), Row("command / bare", times, PROMISED, "×")],
        {"rows": str(given.rows), "threads": str(given.threads), "rows a second": given.rows / min(command)},
    )


def _model(folder: Path) -> tuple[Classifier, list[str]]:
    """Return the model, and the texts of the train split."""
    plan = make_plan(["+experiment=quickstart", "tracker=none"])
    base_models, labels = BaseModelCache("cpu"), plan.splits.labels
    with base_models.model(TrainSettings.of(plan.config), LabelSpace(labels.task, labels.names)) as model:
        save(model, base_models.tokenizer(plan.config.model), folder, config=plan.config, labels=labels)
    return sweep.load(folder, device="cpu"), list(plan.splits.train.texts)


def _write(path: Path, rows: list[str]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(rows))


def _batches(model: Classifier, rows: list[str]) -> Iterator[Batch]:
    """Yield padded batches of all rows, ordered by length."""
    tokens = [row for row in model.reader.read(rows, None) if isinstance(row, Tokens)]
    pad, tokens = padder(model.reader.tokenizer), sorted(tokens, key=len, reverse=True)
    for start in range(0, len(tokens), model.batch_size):
        yield pad([row.columns for row in tokens[start : start + model.batch_size]])


def _seconds_of_command(model: Classifier, folder: Path) -> float:
    began = time.perf_counter()
    source = checked(opened(folder / "rows.csv", TextFormat()), (("--text-column", "text"),))
    added = Added(model.labels, several=False)
    with file_writer(folder / "labelled.csv", Shape(source.schema.names, added.types, source.schema)) as writer:
        rows = windows(source.stream, growing(model.batch_size, model.window))
        label_rows(model, rows, writer, Tally(source.count), texts=("text",), added=added)
    return time.perf_counter() - began


def _seconds_of_passes(model: Classifier, batches: list[Batch]) -> float:
    began = time.perf_counter()
    with torch.no_grad():
        for batch in batches:
            model.model(**batch)
    return time.perf_counter() - began


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.predict", description="sweep predict beside bare passes."
    )
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
