"""An export's logits beside those of the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.data.labels import LabelSpace
from sweep.engine.metrics import Scores, decide
from sweep.errors import UserError

# The largest difference in logits by the coarsest type of the computation, in units of the largest
# logit.
RATES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}


@dataclass(frozen=True, slots=True)
class Change:
    """A row whose decision the export changes. `row` is its place among all validation rows, from
    0; several labels are joined as in predictions.csv."""

    row: int
    study: str
    export: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two computations of the same rows: the largest difference in logits, the validation row that
    has it, what is tolerated, and the rows whose decision changed."""

    precision: str
    difference: float
    row: int
    tolerance: float
    changed: tuple[Change, ...]

    @property
    def held(self) -> bool:
        """Return whether the difference is tolerated; one that is not a number is not."""
        return self.difference <= self.tolerance


def compare(
    study: Scores,
    export: Scores,
    *,
    labels: LabelSpace,
    thresholds: Sequence[float] | None,
    indices: Sequence[int],
    precision: str,
    tolerance: float | None,
) -> Comparison:
    """Return how far logits, (rows, labels), of the rows at `indices` of the validation split
    differ.

    `precision` is the coarser type of the two computations; `tolerance` None takes its share of
    the largest logit, at least 1.
    """
    apart = np.abs(study.astype(np.float64) - export.astype(np.float64))
    apart = np.where(np.isfinite(apart), apart, np.inf)
    worst = apart.max(axis=1)
    allowed = RATES[precision] * max(1.0, float(np.abs(study).max())) if tolerance is None else tolerance
    ours, theirs = _decisions(study, labels, thresholds), _decisions(export, labels, thresholds)
    rows = zip(indices, ours, theirs, strict=True)
    changed = tuple(Change(row, one, other) for row, one, other in rows if one != other)
    return Comparison(precision, float(worst.max()), indices[int(worst.argmax())], allowed, changed)


def require(comparison: Comparison, *, others: str, given: bool) -> None:
    """Raise UserError where the difference is not tolerated. `others` names the logits that those
    of the export are compared with; `given` says that the user set the tolerance."""
    if comparison.held:
        return
    share = f", which is {RATES[comparison.precision]:g} of the largest logit, for {comparison.precision}"
    rule = f"is {comparison.tolerance:.3g}{'' if given else share}, but a logit differs from {others}"
    rule += f" by {comparison.difference:.3g}, on row {comparison.row} of validation, and {changes(comparison)}"
    raise UserError.of("--tolerance", f"{rule}; nothing was left behind")


def changes(comparison: Comparison) -> str:
    """Return how many decisions changed, as the end of a sentence."""
    count = len(comparison.changed)
    return f"{count or 'no'} decision{'s' if count > 1 else ''} changed"


def _decisions(scores: Scores, labels: LabelSpace, thresholds: Sequence[float] | None) -> list[str]:
    decided = decide(labels.task, scores, 0.5 if thresholds is None else thresholds)
    return [labels.cell(row) for row in decided]
