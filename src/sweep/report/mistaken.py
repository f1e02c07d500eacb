"""What was taken for what, and how well each label was found."""

from __future__ import annotations

from collections.abc import Sequence, Set

from sweep.records.final import FinalRecord
from sweep.report.confusion import LabelScore, label_scores, mistakes
from sweep.report.facts import Facts
from sweep.report.markdown import code, details, escape, figure, join, table
from sweep.report.units import count, plural, score, share

_FEW_LABELS = 20  # shown in one table; of more, the best and worst stand outside a fold
_OPEN = 8  # labels up to which the matrix as numbers stands open
_EXTREMES = 7
_PAIRS = 15


def confused(facts: Facts, final: FinalRecord, drawn: Set[str]) -> str:
    picture = figure("confusion", "Confusion on the test split") if "confusion" in drawn else ""
    parts = _by_label(final) if facts.multi_label else _by_pair(final)
    return join(["### What was taken for what", *parts[:1], picture, *parts[1:]])


def labels(facts: Facts, final: FinalRecord) -> str:
    scored = sorted(label_scores(final, multi_label=facts.multi_label), key=lambda label: (-label.f1, label.name))
    silent = [escape(label.name) for label in scored if label.rows and not label.predicted]
    never = f"Never predicted: {', '.join(silent)}." if silent else ""
    if len(scored) <= _FEW_LABELS:
        return join(["### Label by label", never, _label_table(scored)])
    best, worst = scored[:_EXTREMES], scored[: -_EXTREMES - 1 : -1]
    return join(
        [
            "### Label by label",
            never,
            f"The {_EXTREMES} worst of {len(scored)} labels, by F1:",
            _label_table(worst),
            f"The {_EXTREMES} best:",
            _label_table(best),
            details(f"All {len(scored)} labels", body=[_label_table(scored)]),
        ]
    )


def _by_pair(final: FinalRecord) -> list[str]:
    found = mistakes(final.label_names, final.confusion)
    wrong = sum(mistake.rows for mistake in found)
    if not found:
        return [f"0 of {count(final.test_rows)} rows are wrong.", _matrix(final)]
    top = found[:_PAIRS]
    covered = sum(mistake.rows for mistake in top)
    rows = [[escape(m.true), escape(m.predicted), count(m.rows), share(m.rows, m.of), count(m.back)] for m in top]
    columns = ["true label", "predicted", "rows", "of the true label", "the other way round"]
    said = f"{count(wrong)} of {count(final.test_rows)} rows are wrong, in {plural(len(found), 'pair')} of labels."
    most = f"The {len(top)} most frequent pairs hold {share(covered, wrong)} of the mistakes:"
    pairs = most if len(top) < len(found) else "The pairs, most frequent first:"
    return [said, _matrix(final), pairs, table(columns, rows)]


def _matrix(final: FinalRecord) -> str:
    """Rows are true labels, columns predicted ones."""
    names = [escape(name) for name in final.label_names]
    if len(names) > _FEW_LABELS:
        return f"The {len(names)} × {len(names)} counts are in {code('final/confusion.csv')}."
    rows = [[name, *map(count, cells)] for name, cells in zip(names, final.confusion, strict=True)]
    return details(
        "The matrix in numbers: true labels down, predicted ones across",
        body=[table(["true", *names], rows)],
        unfolded=len(names) <= _OPEN,
    )


def _by_label(final: FinalRecord) -> list[str]:
    """One 2×2 matrix a label, with the threshold it was decided at."""
    thresholds = final.thresholds or (0.5,) * len(final.label_names)
    tuned = bool(final.tuned or final.untuned)
    rows = [
        [escape(name), score(at, 3), *map(count, cells)]
        for name, at, cells in zip(final.label_names, thresholds, final.confusion, strict=True)
    ]
    heads = ["label", "threshold", "true negatives", "false positives", "false negatives", "true positives"]
    missed, added = (sum(cells[place] for cells in final.confusion) for place in (2, 1))
    how = (
        "A label is predicted where its probability reaches its threshold. Thresholds were tuned, each for the best F1 of "
        "its label on validation."
        if tuned
        else f"A label is predicted where its probability reaches {thresholds[0]:g}."
    )
    said = f"{how} In {count(final.test_rows)} rows {count(missed)} labels were missed, {count(added)} added wrongly."
    return [said, details("The matrices in numbers", body=[table(heads, rows)], unfolded=len(rows) <= _FEW_LABELS)]


def _label_table(scored: Sequence[LabelScore]) -> str:
    columns = ["label", "F1", "precision", "recall", "rows"]
    rows = [[escape(s.name), score(s.f1), score(s.precision), score(s.recall), count(s.rows)] for s in scored]
    return table(columns, rows)
