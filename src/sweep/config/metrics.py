"""The names of the metrics each task has. They are computed in `sweep.engine.metrics`."""

from __future__ import annotations

from sweep.config.schema import Task

AVERAGED = ("f1_macro", "f1_micro", "f1_weighted", "precision_macro", "precision_micro", "precision_weighted",
            "recall_macro", "recall_micro", "recall_weighted")  # fmt: skip
BY_TASK: dict[Task, tuple[str, ...]] = {
    "single_label": ("loss", "accuracy", *AVERAGED),
    "multi_label": ("loss", "subset_accuracy", "jaccard", *AVERAGED),
}


def objectives(task: Task) -> tuple[str, ...]:
    """What `study.metric` may name: always of the validation split."""
    return tuple(f"eval/{name}" for name in BY_TASK[task])


def proportion(task: Task) -> str:
    """The metric that is a share of rows, so that an interval follows from their number."""
    return "accuracy" if task == "single_label" else "subset_accuracy"


def better_when_lower(metric: str) -> bool:
    return metric.endswith("/loss")
