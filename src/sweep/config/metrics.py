"""The names of the metrics that evaluations record.

Those of a task are computed in `sweep.engine.metrics`, extra ones in `sweep.engine.extra_metrics`,
and those of the user's own in `sweep.config.custom_metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweep.config.extra_metrics import EXTRA_BY_TASK, LABEL_F1, is_extra, lower_is_better
from sweep.config.schema import Config, DatasetConfig, Task

AVERAGED = ("f1_macro", "f1_micro", "f1_weighted", "precision_macro", "precision_micro", "precision_weighted",
            "recall_macro", "recall_micro", "recall_weighted")  # fmt: skip
BY_TASK: dict[Task, tuple[str, ...]] = {
    "single_label": ("loss", "accuracy", *AVERAGED),
    "multi_label": ("loss", "subset_accuracy", "jaccard", *AVERAGED),
}


def short_name(path: str) -> str:
    """Return the name under which an entry of `dataset.metrics` is recorded: the last part of the
    dotted path of a metric of the user's own, else the entry itself."""
    return path if is_extra(path) else path.rpartition(".")[2]


def recorded_metrics(config: Config) -> tuple[str, ...]:
    """Return what evaluations record beside the task's metrics: the entries of `dataset.metrics`,
    then the extra metrics that the study's objectives name."""
    known = {*BY_TASK[config.dataset.task], *map(short_name, config.dataset.metrics)}
    names = (one.metric.removeprefix("eval/") for one in config.study.objectives)
    asked = (name for name in names if name not in known and is_extra(name))
    return (*config.dataset.metrics, *dict.fromkeys(asked))


def metric_names(config: Config) -> tuple[str, ...]:
    """Return the short names of all metrics that an evaluation records: the task's, then the
    others."""
    return (*BY_TASK[config.dataset.task], *map(short_name, recorded_metrics(config)))


def evaluated(config: Config) -> tuple[str, ...]:
    """Return the names of all metrics of an evaluation, `eval/…`."""
    return tuple(f"eval/{name}" for name in metric_names(config))


def objectives(dataset: DatasetConfig) -> tuple[str, ...]:
    """Return what `study.metric` may name: always of the validation split. `LABEL` stands for the
    name of a label."""
    own = map(short_name, dataset.own_metrics)
    names = dict.fromkeys((*BY_TASK[dataset.task], *EXTRA_BY_TASK[dataset.task], *own, f"{LABEL_F1}LABEL"))
    return tuple(f"eval/{name}" for name in names)


def known_direction(dataset: DatasetConfig, metric: str) -> str | None:
    """Return `minimize` or `maximize` for a metric of ours; None for one of the user's own."""
    if metric.removeprefix("eval/") in map(short_name, dataset.own_metrics):
        return None
    return "minimize" if lower_is_better(metric) else "maximize"


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
    return {name: value for name, value in metrics.items() if not _of_folds(name.split("/"))}


def _of_folds(parts: Sequence[str]) -> bool:
    """Return whether the parts are those of `eval/fold/2/…` or `eval/sd/…`. A metric of the user's
    own may be called `fold` or `sd`."""
    return len(parts) > 2 and parts[1] in ("fold", "sd")
