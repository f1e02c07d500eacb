"""Predictions from the scores of a model, as the study decided them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sweep.data.labels import LabelSpace
from sweep.engine.metrics import Probabilities, Scores, certainty, decide, probabilities


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one text.

    `label` is the name of the likeliest label; for multi-label the names of all labels that apply,
    by the thresholds of the study. `probability` is that of the label; for multi-label that of the
    least certain decision. `probabilities` are those of all labels, by name. `cut` says that the
    text was longer than the model reads, and only its beginning (or end, as the tokenizer cuts)
    was read. A text that cannot be read has the reason in `problem`, and None as label and
    probability.
    """

    label: str | tuple[str, ...] | None
    probability: float | None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    cut: bool = False
    problem: str = ""

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the likeliest labels with their probabilities, the likeliest first."""
        return sorted(self.probabilities.items(), key=lambda one: -one[1])[:count]


def predictions(
    scores: Scores, labels: LabelSpace, thresholds: Sequence[float] | None, cut: Sequence[bool]
) -> list[Prediction]:
    """Return the prediction of each row of `scores`, which has shape (rows, labels)."""
    decided = decide(labels.task, scores, 0.5 if thresholds is None else thresholds)
    chances = probabilities(labels.task, scores)
    sure = certainty(labels.task, chances, decided)
    return [
        Prediction(labels.decided(decided[row]), float(sure[row]), _by_name(labels, chances[row]), one)
        for row, one in enumerate(cut)
    ]


def _by_name(labels: LabelSpace, chances: Probabilities) -> dict[str, float]:
    return dict(zip(labels.names, chances.tolist(), strict=True))
