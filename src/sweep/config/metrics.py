"""The names of the metrics each task has. They are computed in `sweep.engine.metrics`, and those
of `dataset.metrics`, which are the user's own, in `sweep.config.custom_metrics`."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.config.schema import DatasetConfig, Task

AVERAGED = ("f1_macro", "f1_micro", "f1_weighted", "precision_macro", "precision_micro", "precision_weighted",
            "recall_macro", "recall_micro", "recall_weighted")  # fmt: skip
BY_TASK: dict[Task, tuple[str, ...]] = {
    "single_label": ("loss", "accuracy", *AVERAGED),
    "multi_label": ("loss", "subset_accuracy", "jaccard", *AVERAGED),
}


def short_name(path: str) -> str:
    """Return the name under which a metric of the user's own is recorded: the last part of its
    dotted path."""
    return path.rpartition(".")[2]


def metric_names(dataset: DatasetConfig) -> tuple[str, ...]:
    """Return the short names of all metrics that an evaluation records: the task's, then the
    user's own."""
    return (*BY_TASK[dataset.task], *map(short_name, dataset.metrics))


def objectives(dataset: DatasetConfig) -> tuple[str, ...]:
    """Return what `study.metric` may name: always of the validation split."""
    return tuple(f"eval/{name}" for name in metric_names(dataset))


def proportion(task: Task) -> str:
    """Return the metric that is a share of rows, so that an interval follows from their number."""
    return "accuracy" if task == "single_label" else "subset_accuracy"


def fold_metric(metric: str, fold: int) -> str:
    """Return the name of the score of a fold: `eval/fold/2/accuracy` for `eval/accuracy`."""
    split, _, name = metric.partition("/")
    return f"{split}/fold/{fold}/{name}"


def sd_metric(metric: str) -> str:
    """Return the name of the standard deviation of a score over the folds."""
    split, _, name = metric.partition("/")
    return f"{split}/sd/{name}"


def means_alone(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics without the scores of folds and their standard deviation."""
    return {
        name: value for name, value in metrics.items() if name.partition("/")[2].split("/")[0] not in ("fold", "sd")
    }
