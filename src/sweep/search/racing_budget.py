"""The share of the rows of all trials that racing trains."""

from __future__ import annotations

from sweep.config.schema import StudyConfig

BUDGET = 0.3  # chosen on recorded tables: benchmarks/RESULTS.md, five_knobs


def racing_budget(study: StudyConfig) -> float:
    """Return the share that a study with `racing` trains, by its `study.pruner_options`."""
    return float(study.pruner_options.get("budget") or BUDGET)
