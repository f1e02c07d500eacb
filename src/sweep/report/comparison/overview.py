"""How the methods score: one table of all, and one of intervals."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.analysis.tested import guess
from sweep.report.comparison.columns import Better, Column, methods
from sweep.report.comparison.comparison import Comparison
from sweep.report.markdown import escape, join, table
from sweep.report.units import MISSING, count, score

_SHOWN = {
    "single_label": ("f1_micro", "f1_macro", "accuracy"),
    "multi_label": ("f1_micro", "f1_macro", "subset_accuracy"),
}


def overview(comparison: Comparison) -> str:
    found = comparison.contestants
    beside = _beside(comparison)
    names = ["loss", *dict.fromkeys([*_SHOWN[comparison.task], *comparison.metrics])]
    columns = [Column("train/loss", [one.final.cost.train_loss for one in found], "lower", beside=[None] * len(beside))]
    for split in ("eval", "test"):
        for name in names:
            key = f"{split}/{name}"
            better: Better = "lower" if name == "loss" else "higher"
            values = [(one.validation if split == "eval" else one.final.test).get(key) for one in found]
            columns.append(Column(key, values, better, beside=[metrics.get(key) for metrics in beside.values()]))
    return join([methods([one.name for one in found], columns, list(beside)), _legend(comparison)])


def intervals(comparison: Comparison) -> str:
    """Test scores with 95 % intervals, and validation over fresh seeds where a run was confirmed with some."""
    columns = ["method", *(f"test/{name}" for name in comparison.metrics)]
    rows = []
    for one in comparison.ranked:
        spans = [(comparison.resampled.seen[one.name][name], *comparison.interval(one, name))
                 for name in comparison.metrics]  # fmt: skip
        rows.append(
            [escape(one.name), *(f"{score(value)} ({score(low)} to {score(high)})" for value, low, high in spans)]
        )
    said = (
        f"Best test/{comparison.main} first, with 95 % intervals over the {count(comparison.outcomes.rows)} test rows: "
        f"Wilson's (1927) for {comparison.proportion}, for the others percentiles of {count(comparison.samples)} "
        f"bootstrap resamples (Efron and Tibshirani, 1993), seed {comparison.seed}."
    )
    return join([said, table(columns, rows), _fresh(comparison)])


def _beside(comparison: Comparison) -> Mapping[str, Mapping[str, float]]:
    """The rows that are no contestants: test scores at a threshold of 0.5, models before fine-tuning, guessing."""
    rows: dict[str, Mapping[str, float]] = {}
    for one in comparison.contestants:
        if one.final.untuned:
            rows[f"{one.name}, threshold 0.5"] = one.final.untuned
        if one.final.before:
            rows[f"{one.name}, before fine-tuning"] = one.final.before
    rows[guess(comparison.task)] = comparison.contestants[0].final.baseline
    return rows


def _legend(comparison: Comparison) -> str:
    metric = comparison.objective.metric
    parts = [
        f"`eval/…` is validation, which chose each method's hyperparameters and best evaluation (by {metric}) and so "
        f"favours it; `test/…` had no part in that. The best of each column is bold. The {guess(comparison.task)} "
        "is that of the training rows."
    ]
    if any(one.final.untuned for one in comparison.contestants):
        parts.append("Where thresholds were tuned on validation, `eval/…` is at 0.5 and `test/…` at the thresholds.")
    if refitted := [one.name for one in comparison.contestants if one.final.refit]:
        parts.append(
            f"`test/…` of {', '.join(map(escape, refitted))} is of the model refitted on train and validation rows together; "
            "`train/loss` and `eval/…` are of the retraining before it, on train rows alone."
        )
    return " ".join(parts)


def _fresh(comparison: Comparison) -> str:
    rows = []
    for one in comparison.contestants:
        known = one.final.confirmation
        mine = [candidate for candidate in known.candidates if candidate.number == one.final.number] if known else []
        rows += [[escape(one.name), str(len(first.scores)), score(first.trial_score), score(first.mean),
                  _span(first.interval)] for first in mine]  # fmt: skip
    if not rows:
        return ""
    metric = comparison.objective.metric
    columns = ["method", "fresh seeds", f"{metric}, in the search", "mean over seeds", "95 % interval of the mean"]
    return join([f"{metric} of the winning configurations, trained again with fresh seeds:", table(columns, rows)])


def _span(interval: tuple[float, float] | None) -> str:
    return f"{score(interval[0])} to {score(interval[1])}" if interval else MISSING
