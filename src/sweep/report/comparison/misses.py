"""Where the methods fail, together and alone."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.report.comparison.comparison import Comparison
from sweep.report.comparison.failures import Failure, failures
from sweep.report.markdown import bullets, details, escape, join, table
from sweep.report.units import count, plural, score, share

_ROWS = 10
_CUT = 200  # characters of a text shown


def misses(comparison: Comparison) -> str:
    found = failures(comparison)
    parts = [bullets(_counts(comparison, found.right_by))]
    shared = _section("Rows that every method gets wrong", comparison, found.shared, "mean confidence")
    alone = [
        _section(f"Rows that only {name} gets wrong", comparison, rows, "its confidence")
        for name, rows in found.alone.items()
    ]
    return join([*parts, "Surest mistakes first.", shared, *alone])


def _counts(comparison: Comparison, right_by: Sequence[int]) -> list[str]:
    rows, methods = comparison.outcomes.rows, len(comparison.contestants)
    lines = [f"All {methods} methods are right on {count(right_by[-1])} of {count(rows)} test rows "
             f"({share(right_by[-1], rows)}), and all wrong on {count(right_by[0])} ({share(right_by[0], rows)})."]  # fmt: skip
    best = comparison.outcomes.right(comparison.ranked[0].name).mean()
    reach = 1 - right_by[0] / rows
    if right_by[0] < rows and reach > best:
        lines.append(
            f"If one could always pick a method that is right, {comparison.proportion} would be {score(reach)}."
        )
    return lines


def _section(title: str, comparison: Comparison, rows: Sequence[Failure], sure: str) -> str:
    if not rows:
        return ""
    shown = rows[:_ROWS]
    pairs = any(row.predictions[0].pair is not None for row in shown)
    names = [escape(one.name) for one in comparison.contestants]
    columns = ["row", "text", *(["pair"] if pairs else []), "label", *names, sure]
    cells = [_cells(row, pairs) for row in shown]
    head = f"{title}: {plural(len(rows), 'row')}" + (f", the {_ROWS} surest" if len(rows) > _ROWS else "")
    return details(head, body=[table(columns, cells)], unfolded=True)


def _cells(row: Failure, pairs: bool) -> list[str]:
    first = row.predictions[0]
    second = [escape(first.pair or "", _CUT)] if pairs else []
    answers = [_labels(one.predicted) if not one.right else "right" for one in row.predictions]
    return [escape(first.index), escape(first.text, _CUT), *second, _labels(first.label), *answers,
            score(row.confidence, 3)]  # fmt: skip


def _labels(names: Sequence[str]) -> str:
    return escape(", ".join(names)) or "(none)"
