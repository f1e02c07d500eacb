"""The predictions on the test split, as `final/predictions.csv` holds them, and those of folds on
train (`final/out_of_fold.csv`)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.config.schema import Task
from sweep.data.labels import separated
from sweep.errors import UserError


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row of a split. `label` and `predicted` are names: one each, or for multi-label
    any number.

    `loss` is the row's own, where the file holds it.
    """

    index: str
    text: str
    pair: str | None
    label: tuple[str, ...]
    predicted: tuple[str, ...]
    confidence: float
    loss: float | None = None

    @property
    def right(self) -> bool:
        return set(self.label) == set(self.predicted)


def read_predictions(path: Path, task: Task) -> tuple[Prediction, ...]:
    """Return the rows of the file in order; empty where there is no such file.

    Raises UserError for a file that another program has changed, such as a spreadsheet.
    """
    if not path.exists():
        return ()
    csv.field_size_limit(sys.maxsize)  # a text may be longer than the 131,072 characters that csv takes by default
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return tuple(_prediction(row, task) for row in csv.DictReader(file))
    except (KeyError, TypeError, ValueError, csv.Error):
        rule = "is damaged: it does not have the columns and values of predictions"
        way_out = "put it back from a copy (a report does without it where it is deleted)"
        raise UserError.of(str(path), f"{rule}; {way_out}") from None


def _prediction(row: Mapping[str, str], task: Task) -> Prediction:
    """Return the prediction in a row. Raises KeyError, TypeError or ValueError for another row."""

    def named(cell: str) -> tuple[str, ...]:
        return (cell,) if task == "single_label" else separated(cell)

    return Prediction(
        index=row["index"],
        text=row["text"],
        pair=row.get("text_pair"),
        label=named(row["label"]),
        predicted=named(row["predicted"]),
        confidence=float(row["confidence"] or "nan"),
        loss=float(row["loss"]) if row.get("loss") else None,
    )
