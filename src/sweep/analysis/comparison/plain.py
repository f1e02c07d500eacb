"""The comparison as plain values, for comparison.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sweep.analysis import plain as values
from sweep.analysis.comparison.comparison import Comparison, Pair
from sweep.analysis.comparison.costs import fronts
from sweep.analysis.comparison.failures import failures
from sweep.analysis.comparison.methods import ComparedMethod


def plain(comparison: Comparison) -> dict[str, Any]:
    """Return everything that the page says in numbers, with the index of every row that the page
    shows only the first of. A number that is not finite is None, and texts are without secrets."""
    wrong = failures(comparison)
    found = {
        "task": comparison.task,
        "objective": comparison.objective,
        "metrics": list(comparison.metrics),
        "test_rows": comparison.outcomes.rows,
        "bootstrap": {"samples": comparison.samples, "seed": comparison.seed},
        "ranking": [one.name for one in comparison.ranked],
        "methods": {one.name: _method(comparison, one) for one in comparison.methods},
        "baseline": dict(comparison.methods[0].final.baseline),
        "pairs": [_pair(comparison, pair) for pair in comparison.pairs],
        "pareto": {cost: sorted(names) for cost, names in fronts(comparison).items()},
        "rows_right_by_methods": list(wrong.right_by),
        "rows_all_wrong": [failure.predictions[0].index for failure in wrong.shared],
        "rows_alone_wrong": {name: [row.predictions[0].index for row in rows] for name, rows in wrong.alone.items()},
    }
    return {name: values.plain(part) for name, part in found.items()}


def _method(comparison: Comparison, one: ComparedMethod) -> dict[str, Any]:
    final = one.final
    return {
        "folder": str(one.folder),
        "trial": final.number,
        "params": dict(final.params),
        "validation": dict(one.validation),
        "test": dict(final.test),
        "test_at_half": dict(final.untuned) or None,
        "before": dict(final.before) or None,
        "intervals": {f"test/{name}": list(comparison.interval(one, name)) for name in comparison.metrics},
        "parameters": {name: getattr(final.parameters, name) for name in ("total", "trainable", "bytes")},
        "training": final.cost,
        "refit": final.refit,
        "search": {"trials": one.searched, **asdict(one.search)},
        "tracker_run": final.tracker_run or None,
    }


def _pair(comparison: Comparison, pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "mcnemar": {"metric": comparison.proportion, **asdict(pair.mcnemar), "p_holm": pair.p},
        "differences": [{**asdict(gap), "p_holm": p} for gap, p in zip(pair.differences, pair.corrected, strict=True)],
    }
