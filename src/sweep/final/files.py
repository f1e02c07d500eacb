"""The predictions and the confusion matrix of the test split, and the predictions of folds, as CSV
files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sweep.data.labels import LabelSpace
from sweep.engine.metrics import certainty, probabilities
from sweep.errors import naming
from sweep.final.out_of_fold import OutOfFold
from sweep.final.reading import Reading


def write_predictions(path: Path, reading: Reading | OutOfFold, labels: LabelSpace) -> None:
    """Write a line for each test row, or for each row of train that a fold scored, with that fold.

    `index` is the place of the row in its split, from 0. `confidence` is the probability of the
    predicted label, or for multi-label that of the least certain decision. `loss` is the loss of
    the row; `test/loss` is the mean of the column. Several labels in a cell are joined by `|`,
    with a backslash before each `|` or backslash in a name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, predictions, decided = reading.rows, reading.predictions, reading.decided
    sure = certainty(labels.task, probabilities(labels.task, predictions.scores), decided)
    texts = zip(rows.texts, rows.pairs, strict=True) if rows.pairs else ((text,) for text in rows.texts)
    places, folds = list(range(len(decided))), list[int]()
    if isinstance(reading, OutOfFold):
        places, folds = reading.places.tolist(), reading.folds.tolist()
    header = ["index", "text", *(["text_pair"] if rows.pairs else []), "label", "predicted", "confidence", "loss"]
    with naming(path), path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*header, *(["fold"] if folds else [])])
        for index, text in enumerate(texts):
            named = (labels.cell(predictions.labels[index]), labels.cell(decided[index]))
            values = [f"{sure[index]:.6f}", f"{reading.losses[index]:.9g}"]
            writer.writerow([places[index], *text, *named, *values, *folds[index : index + 1]])


def write_confusion(path: Path, labels: LabelSpace, counts: Sequence[Sequence[int]]) -> None:
    """Write the confusion matrix; for multi-label a line of TN, FP, FN and TP for each label.
    `counts` are as in `FinalRecord.confusion`."""
    single = labels.task == "single_label"
    header = labels.names if single else ("true_negative", "false_positive", "false_negative", "true_positive")
    with naming(path), path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ predicted" if single else "label", *header])
        writer.writerows([name, *row] for name, row in zip(labels.names, counts, strict=True))
