"""Rules between the labels of the rows and what each fold makes of them: weights, and metrics that
need a label to be there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.config.extra_metrics import label_of
from sweep.config.schema import Config, StudyConfig
from sweep.data.raw import listed
from sweep.data.splits import Rows, Splits, label_rows
from sweep.errors import Fault
from sweep.plan.class_weights import TAU, WEIGHTS

_NAMED = 5  # labels in a message


def undefined_faults(study: StudyConfig, splits: Splits) -> list[Fault]:
    """Return the faults of objectives that are not defined on the validation rows, of some fold or
    without folds of all: each trial would end as diverged."""
    found = []
    for key, metric in (("study.metric", study.metric), ("study.second_metric", study.second_metric or "")):
        undefined = [
            number
            for number, (_, rows) in enumerate(_parts(splits), start=1)
            if not _defined(metric.removeprefix("eval/"), splits, rows)
        ]
        if undefined:
            where = f"of fold {', '.join(map(str, undefined))}" if splits.folds else "that there are"
            remedy = "dataset.stratify=auto, fewer folds" if splits.folds else "more validation rows"
            rule = f"is {metric}, which is not defined on the validation rows {where}: they tell no labels apart"
            found.append(Fault(key, f"{rule}; use {remedy} or another metric"))
    return found


def fold_notes(corners: Sequence[Config], splits: Splits) -> Iterator[str]:
    """Yield notes on the labels that some fold lacks and that its loss or an objective needs."""
    if not splits.folds:
        return
    trainers = [config.trainer for config in corners]
    used = {
        WEIGHTS: any(trainer.class_weights == "balanced" for trainer in trainers),
        TAU: any(trainer.logit_adjustment_tau > 0 for trainer in trainers),
    }
    lacking = _lacking(splits, [train for train, _ in _parts(splits)])
    if lacking and any(used.values()):
        keys = " and ".join(key for key, there in used.items() if there)
        yield f"some fold has no train row of these labels, which {keys} counts as one row there: {listed(lacking, _NAMED)}"
    unscored, study = _lacking(splits, [rows for _, rows in _parts(splits)]), corners[0].study
    for metric in (study.metric, study.second_metric or ""):
        if (label := label_of(metric.removeprefix("eval/"))) in unscored:
            yield f"some fold has no validation row of the label {label!r}, so that its {metric} is 0 or says little there"


def _parts(splits: Splits) -> list[tuple[Rows, Rows]]:
    """Return the train and the validation rows of each fold, or of the one division."""
    return [(fold.train, fold.validation) for fold in splits.folds] or [(splits.train, splits.validation)]


def _lacking(splits: Splits, parts: Sequence[Rows]) -> list[str]:
    """Return the labels that some of the parts have no row of."""
    counts = [label_rows(splits.labels, rows) for rows in parts]
    return [name for name, *each in zip(splits.labels.names, *counts, strict=True) if not all(each)]


def _defined(metric: str, splits: Splits, rows: Rows) -> bool:
    """Return whether a metric has a value on these rows (`sweep.engine.extra_metrics`)."""
    counts, total = label_rows(splits.labels, rows), len(rows)
    match metric:
        case "auroc_macro":
            return any(0 < count < total for count in counts)
        case "auroc_micro":
            return 0 < sum(counts) < total * len(counts)
        case "average_precision_macro" | "average_precision_micro":
            return any(counts)
    return True
