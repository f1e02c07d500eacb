"""What each method decided on the shared test rows, as counts that every metric follows from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sweep.analysis.counts import Bools, marked
from sweep.config.schema import Task

if TYPE_CHECKING:
    from sweep.analysis.predictions import Prediction


@dataclass(frozen=True, slots=True)
class Outcomes:
    """`truth` and each method's entry in `predicted` are (rows, labels); `right` says of each row whether all of it is."""

    task: Task
    truth: Bools
    predicted: Mapping[str, Bools]

    @property
    def rows(self) -> int:
        return len(self.truth)

    def right(self, name: str) -> Bools:
        return np.asarray((self.predicted[name] == self.truth).all(axis=1))


def read_outcomes(task: Task, names: Sequence[str], predictions: Mapping[str, Sequence[Prediction]]) -> Outcomes:
    """`names` are the labels; the rows are the same, in the same order, for each method."""
    places = {name: place for place, name in enumerate(names)}
    rows = next(iter(predictions.values()))
    truth = marked(places, [row.label for row in rows])
    found = {name: marked(places, [row.predicted for row in given]) for name, given in predictions.items()}
    return Outcomes(task, truth, found)
