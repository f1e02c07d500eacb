"""The comparison in a few lines and values: for the terminal, and for its own tracked run."""

from __future__ import annotations

from sweep.config.schema import Scalar
from sweep.report.comparison.comparison import ALPHA, Comparison
from sweep.report.units import count, plural, score
from sweep.report.wording import made


def summary_lines(comparison: Comparison) -> tuple[str, ...]:
    """Best first, each with its 95 % interval."""
    width = max(len(one.name) for one in comparison.contestants)
    lines = [f"Compared  {len(comparison.contestants)} methods on {count(comparison.outcomes.rows)} test rows"]
    for one in comparison.ranked:
        low, high = comparison.interval(one, comparison.main)
        value = f"{score(comparison.score(one))} ({score(low)} to {score(high)})"
        trained = f"{count(one.final.parameters.trainable)} parameters trained in {one.final.cost.train_seconds:,.0f} s"
        lines.append(f"          {one.name:{width}}  test/{comparison.main} {value}, {trained}")
    return (*lines, _differences(comparison))


def rows(comparison: Comparison) -> tuple[dict[str, Scalar], ...]:
    """One row a method, for the tracked run's table."""
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
            "trials": len(one.trials),
            "refit": one.final.refit is not None,
            "tracked run": one.final.tracker_run,
        }
        for one in comparison.contestants
    )


def summary(comparison: Comparison) -> dict[str, float | int | str]:
    """Flat: METHOD/test/…, and pairs as `A vs B/…`."""
    found: dict[str, float | int | str] = {"best": comparison.ranked[0].name, "metric": f"test/{comparison.main}"}
    for one in comparison.contestants:
        found |= {f"{one.name}/{name}": value for name, value in one.final.test.items()}
    for pair in comparison.pairs:
        title = f"{pair.first} vs {pair.second}"
        found |= {f"{title}/mcnemar_p_holm": pair.p}
        found |= {f"{title}/{gap.metric}": gap.value for gap in pair.differences}
    return found


def _differences(comparison: Comparison) -> str:
    told = sum(comparison.p(pair) < ALPHA for pair in comparison.pairs)
    return f"          {told} of {plural(len(comparison.pairs), 'pair')} differ significantly"
