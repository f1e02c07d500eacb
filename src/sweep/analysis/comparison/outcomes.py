"""The labels that each method gave to the shared test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.analysis.counts import Bools, marked
from sweep.analysis.predictions import Prediction
from sweep.config.schema import Task


@dataclass(frozen=True, slots=True)
class Outcomes:
    """`truth` and each method's entry in `predicted` are (rows, labels)."""

    task: Task
    truth: Bools
    predicted: Mapping[str, Bools]

    @property
    def rows(self) -> int:
        return len(self.truth)

    def right(self, name: str) -> Bools:
        """Return for each row whether all its labels are right, (rows,)."""
        return np.asarray((self.predicted[name] == self.truth).all(axis=1))


def read_outcomes(task: Task, names: Sequence[str], predictions: Mapping[str, Sequence[Prediction]]) -> Outcomes:
    """Return the outcomes. `names` are the labels; the rows are the same, in the same order, for
    each method."""
    places = {name: place for place, name in enumerate(names)}
    rows = next(iter(predictions.values()))
    truth = marked(places, [row.label for row in rows])
    found = {name: marked(places, [row.predicted for row in given]) for name, given in predictions.items()}
    return Outcomes(task, truth, found)
