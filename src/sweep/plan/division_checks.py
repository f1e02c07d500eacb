"""Rules on how the rows are divided: by group, by time, into folds."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.config.optimizers import BY_METRIC
from sweep.config.schema import Config


def division_rules(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the key and the rule of each fault."""
    dataset = config.dataset
    by = {"dataset.group_column": dataset.group_column, "dataset.time_column": dataset.time_column}
    named = [f"{key}={value}" for key, value in by.items() if value is not None]
    if len(named) > 1:
        rule = f"is {dataset.time_column}, but rows are divided by one column alone, and {named[0]} names another"
        yield "dataset.time_column", f"{rule}; set one of them to null"
    elif named and dataset.stratify is True:
        why = "keeps groups whole" if dataset.group_column else "holds out the newest rows, whatever their labels"
        yield "dataset.stratify", f"is true, but {named[0]} {why}, which keeps no exact shares of labels; use auto"
    if dataset.folds is not None:
        yield from _folds(config, dataset.folds)


def _folds(config: Config, folds: int) -> Iterator[tuple[str, str]]:
    dataset, trainer, schedule = config.dataset, config.trainer, config.optimizer.lr_scheduler_type
    if dataset.validation_split is not None:
        rule = f"is {dataset.validation_split}, but dataset.folds is {folds}: each fold scores on rows of train"
        yield (
            "dataset.validation_split",
            f"{rule}; set one of them to null (A+B joins both files to dataset.train_split)",
        )
    if trainer.save_newest:
        yield (
            "trainer.save_newest",
            f"is true, but dataset.folds is {folds}: a trial has a model for each fold, and none is kept",
        )
    if schedule in BY_METRIC:
        rule = f"is {schedule}, which goes by the validation loss, but dataset.folds is {folds}"
        yield "optimizer.lr_scheduler_type", f"{rule}: the winner is trained on all rows; use another schedule"
