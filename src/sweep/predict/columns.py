"""The columns that a prediction adds to a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sweep.data.raw import listed
from sweep.errors import Fault

if TYPE_CHECKING:
    from sweep.predict.predictions import Prediction

LABEL, PROBABILITY = "label", "probability"


@dataclass(frozen=True, slots=True)
class Added:
    """The columns of a prediction: `label` and `probability`, with `every` a `probability_NAME`
    for each label, and `label_1`, `probability_1`, … for the `top` likeliest labels.

    Each name begins with `prefix`. `several` says that any number of labels applies.
    """

    labels: Sequence[str]
    several: bool
    every: bool = False
    top: int = 0
    prefix: str = ""

    @property
    def types(self) -> Mapping[str, pa.DataType]:
        """Return the columns with their types, in order."""
        return dict(self._columns())

    def _columns(self) -> Iterator[tuple[str, pa.DataType]]:
        yield f"{self.prefix}{LABEL}", pa.list_(pa.string()) if self.several else pa.string()
        yield f"{self.prefix}{PROBABILITY}", pa.float64()
        for rank in range(1, self.top + 1):
            yield f"{self.prefix}{LABEL}_{rank}", pa.string()
            yield f"{self.prefix}{PROBABILITY}_{rank}", pa.float64()
        for name in self.labels if self.every else ():
            yield f"{self.prefix}{PROBABILITY}_{name}", pa.float64()

    def values(self, prediction: Prediction) -> dict[str, Any]:
        """Return the values of the columns; None for a text without a prediction."""
        if prediction.label is None:
            return dict.fromkeys(self.types)
        label = list(prediction.label) if self.several else prediction.label
        found: list[Any] = [label, prediction.probability]
        found += [value for one in (prediction.top(self.top) if self.top else ()) for value in one]
        found += [prediction.probabilities[name] for name in self.labels] if self.every else []
        return dict(zip(self.types, found, strict=True))

    def faults(self, there: Sequence[str]) -> Iterator[Fault]:
        """Yield the faults of the columns, for rows that have the columns `there` already."""
        if self.top > len(self.labels):
            yield Fault("--top", f"is {self.top}, but the model has {len(self.labels)} labels")
        counted = Counter(name for name, _ in self._columns())
        if twice := [name for name, count in counted.items() if count > 1]:
            rule = f"is {self.top}, but --all has columns of these names too, for labels: {listed(twice)}"
            yield Fault("--top", f"{rule}; leave one of the two options out")
        if taken := [name for name in self.types if name in there]:
            rule = f"would replace {listed(taken)}, which the input has already"
            yield Fault("--prefix", f"is {self.prefix!r}, but {rule}; choose another, as in --prefix predicted_")
