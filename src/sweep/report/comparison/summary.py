"""The comparison in a few lines and values: for the terminal, and for its own tracked run."""

from __future__ import annotations

from sweep.analysis.comparison.comparison import ALPHA, Comparison
from sweep.config.schema import Scalar
from sweep.report.environment import render
from sweep.report.wording import made


def summary_lines(comparison: Comparison) -> tuple[str, ...]:
    """Return lines for the terminal: the methods, best first, each with its 95 % interval."""
    names = [one.name for one in comparison.methods]
    significant = sum(comparison.p(pair) < ALPHA for pair in comparison.pairs)
    values = {"comparison": comparison, "method_names": names, "significant": significant}
    return tuple(render("comparison/summary.txt.j2", **values).split("\n"))


def rows(comparison: Comparison) -> tuple[dict[str, Scalar], ...]:
    """Return one row a method, for the tracked run's table."""
    return tuple(
        {
            "method": one.name,
            "model": one.base + made(one.config.model),
            "adapter": one.config.adapter.method,
            "train/loss": one.final.cost.train_loss,
            **{name: value for name, value in one.validation.items() if name.startswith("eval/")},
            **one.final.test,
            "parameters": one.final.parameters.total,
            "trained": one.final.parameters.trainable,
            "train_seconds": one.final.cost.train_seconds,
            "search_seconds": one.search.seconds,
            "trials": one.searched,
            "refit": one.final.refit is not None,
            "tracked run": one.final.tracker_run,
        }
        for one in comparison.methods
    )


def summary(comparison: Comparison) -> dict[str, float | int | str]:
    """Return a flat mapping: METHOD/test/…, and pairs as `A vs B/…`."""
    found: dict[str, float | int | str] = {"best": comparison.ranked[0].name, "metric": f"test/{comparison.main}"}
    for one in comparison.methods:
        found |= {f"{one.name}/{name}": value for name, value in one.final.test.items()}
    for pair in comparison.pairs:
        title = f"{pair.first} vs {pair.second}"
        found |= {f"{title}/mcnemar_p_holm": pair.p}
        found |= {f"{title}/{gap.metric}": gap.value for gap in pair.differences}
    return found
