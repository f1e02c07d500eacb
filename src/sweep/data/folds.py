"""The folds of the train rows: each row is in the validation part of one fold.

By time there are no such folds, since a model would learn from rows that are newer than those that
score it. There the first fold trains on the oldest block of rows and is scored on the next one,
the second trains on two blocks, and so on, as scikit-learn's `TimeSeriesSplit` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from sweep.config.schema import DatasetConfig
from sweep.data.columns import Columns
from sweep.data.groups import divided
from sweep.data.raw import listed
from sweep.data.select import Indices
from sweep.data.times import cut_into_blocks
from sweep.errors import UserError


@dataclass(frozen=True, slots=True)
class Fold:
    """The rows of a fold, in file order."""

    train: Indices
    validation: Indices


def folds(config: DatasetConfig, columns: Columns, indices: Indices) -> tuple[list[Fold], Sequence[str]]:
    """Return the folds of the rows, fewest train rows first, and notes. Raises UserError where
    there are too few rows, groups or times."""
    count = config.folds
    assert count is not None, "folds are asked for"
    if config.time_column is not None:
        return _by_time(config.time_column, count, columns, indices), ()
    _refuse_impossible(config, count, columns, indices)
    by_group = config.group_column is not None
    groups: Mapping[int, Hashable] = {index: columns.groups[index] if by_group else index for index in indices}
    labels = {index: (columns.labels[index] or ()) if config.stratify else () for index in indices}
    shares = [1 / count] * count
    parts = divided(indices, shares, seed=config.seed, stream="folds", groups=groups, labels=labels)
    found = [
        Fold(tuple(index for index in indices if index not in held), part) for part in parts if (held := set(part))
    ]
    if len(found) < count:
        rule = f"is {count}, but {count - len(found)} of the folds got no row: some groups are too large"
        raise UserError.of("dataset.folds", f"{rule}; use fewer folds")
    rare = _rare(labels, count) if config.stratify == "auto" else []
    return sorted(found, key=lambda fold: len(fold.train)), [_in_some(rare, count)] if rare else []


def _by_time(name: str, count: int, columns: Columns, indices: Indices) -> list[Fold]:
    times = {index: columns.times[index] for index in indices}
    try:
        blocks = cut_into_blocks(indices, count + 1, times)
    except ValueError as error:
        rule = f"is {count}, but {count} folds by dataset.time_column={name} need {count + 1} blocks of rows: a cut {error}"
        raise UserError.of("dataset.folds", rule) from None
    return [
        Fold(tuple(sorted(index for block in blocks[:end] for index in block)), blocks[end])
        for end in range(1, count + 1)
    ]


def _refuse_impossible(config: DatasetConfig, count: int, columns: Columns, indices: Indices) -> None:
    if len(indices) < count:
        raise UserError.of("dataset.folds", f"is {count}, but there are {len(indices)} train rows; use fewer folds")
    if config.group_column is not None:
        known = len({columns.groups[index] for index in indices})
        if known < count:
            rule = f"is {count}, but dataset.group_column={config.group_column} has {known} groups"
            raise UserError.of("dataset.folds", f"{rule}; use at most {known} folds" if known > 1 else rule)
    if config.stratify is True:
        rare = _rare({index: columns.labels[index] or () for index in indices}, count)
        if rare or config.task == "multi_label":
            why = f"these labels (with their rows) have fewer rows than folds: {listed(rare, 5)}"
            why = why if rare else "rows with several labels cannot be divided in exact proportion"
            raise UserError.of("dataset.stratify", f"is true, but {why}; auto does it as far as it goes")


def _rare(labels: Mapping[int, tuple[str, ...]], count: int) -> list[str]:
    total = Counter(name for names in labels.values() for name in names)
    return [f"{name} ({rows})" for name, rows in sorted(total.items()) if rows < count]


def _in_some(labels: Sequence[str], count: int) -> str:
    rule = (
        f"these labels (with their rows) have fewer rows than the {count} folds, and are scored in some of them alone"
    )
    return f"{rule}: {listed(labels, 5)}"
