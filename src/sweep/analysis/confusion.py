"""The confusion of labels, from the counts of the final record: matrices, scores of each label,
and the pairs of labels mistaken for each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.records.final import FinalRecord


@dataclass(frozen=True, slots=True)
class LabelScore:
    """The decisions about one label on the test split; `train_rows` counts its rows in train, None
    where they are not known."""

    name: str
    true_positives: int
    false_positives: int
    false_negatives: int
    train_rows: int | None = None

    @property
    def rows(self) -> int:
        return self.true_positives + self.false_negatives

    @property
    def predicted(self) -> int:
        return self.true_positives + self.false_positives

    @property
    def precision(self) -> float:
        return _ratio(self.true_positives, self.predicted)

    @property
    def recall(self) -> float:
        return _ratio(self.true_positives, self.rows)

    @property
    def f1(self) -> float:
        wrong = self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + wrong)


@dataclass(frozen=True, slots=True)
class Mistake:
    """`rows` of label `true` were predicted as `predicted`; `back` counts the other way round."""

    true: str
    predicted: str
    rows: int
    of: int
    back: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """Counts of rows by true and predicted label, and each count's share of its row.

    `name` is empty for the matrix of all labels; a matrix of one label has the rows and columns
    no and yes, and `threshold` is where yes begins, None where it was not tuned.
    """

    name: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    threshold: float | None = None

    @property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(count / max(sum(row), 1) for count in row) for row in self.counts)


@dataclass(frozen=True, slots=True)
class Confusion:
    """One square matrix, or for a multi-label task one of two by two for each label."""

    multi_label: bool
    matrices: tuple[Matrix, ...]


def confusion(final: FinalRecord, *, multi_label: bool) -> Confusion | None:
    """Return what was taken for what on the test split; None where no counts were recorded."""
    if not final.confusion:
        return None
    if not multi_label:
        return Confusion(False, (Matrix("", final.label_names, final.confusion),))
    tuned = final.thresholds if final.thresholds is not None and final.untuned else None
    pairs = zip(final.label_names, tuned or [None] * len(final.label_names), final.confusion, strict=True)
    return Confusion(
        True, tuple(Matrix(name, ("no", "yes"), ((tn, fp), (fn, tp)), at) for name, at, (tn, fp, fn, tp) in pairs)
    )


def label_scores(final: FinalRecord, *, multi_label: bool, train_rows: Sequence[int] = ()) -> tuple[LabelScore, ...]:
    """Return the scores of each label, in label order; `train_rows` counts those of each. A label
    that is neither true nor predicted anywhere scores 0, as in scikit-learn."""
    known: Sequence[int | None] = train_rows or [None] * len(final.label_names)
    if multi_label:
        each = zip(final.label_names, final.confusion, known, strict=True)
        return tuple(LabelScore(name, tp, fp, fn, seen) for name, (_, fp, fn, tp), seen in each)
    columns = [sum(column) for column in zip(*final.confusion, strict=True)]
    return tuple(
        LabelScore(name, row[index], columns[index] - row[index], sum(row) - row[index], known[index])
        for index, (name, row) in enumerate(zip(final.label_names, final.confusion, strict=True))
    )


def rarest_first(labels: Sequence[LabelScore]) -> tuple[LabelScore, ...]:
    """Return the labels by their rows in train, or, where these are not known, by those on test;
    among equals the lowest F1 first."""

    def key(one: LabelScore) -> tuple[int, float, str]:
        return one.rows if one.train_rows is None else one.train_rows, one.f1, one.name

    return tuple(sorted(labels, key=key))


def mistakes(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> tuple[Mistake, ...]:
    """Return every pair with at least one mistake, most frequent first. The matrix is square, so
    the task is single-label."""
    found = [
        Mistake(names[i], names[j], rows=rows, of=sum(row), back=confusion[j][i])
        for i, row in enumerate(confusion)
        for j, rows in enumerate(row)
        if i != j and rows
    ]
    return tuple(sorted(found, key=lambda mistake: -mistake.rows))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
