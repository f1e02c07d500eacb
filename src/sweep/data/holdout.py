"""The rows that are held out of a split: at random, by group or by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.config.schema import DatasetConfig
from sweep.data.columns import Columns
from sweep.data.groups import cut_by_group
from sweep.data.raw import listed
from sweep.data.select import Indices, cut
from sweep.data.stratify import stratified
from sweep.data.times import cut_newest, newest_size
from sweep.errors import UserError

_FAR = 0.1  # of the rows to hold out: a note says where the number differs by more


@dataclass(frozen=True, slots=True)
class HoldOut:
    """The role that gets rows, the role that they are taken from, and the share of its rows."""

    role: str
    source: str
    ratio: float

    @property
    def key(self) -> str:
        return f"dataset.{self.role}_ratio"


def hold_out(
    config: DatasetConfig, columns: Columns, indices: Indices, one: HoldOut
) -> tuple[Indices, Indices, Sequence[str]]:
    """Return the rows that stay, the rows that are held out, and notes. Raises UserError where the
    rows cannot be cut as the config says."""
    if not indices:
        return (), (), ()
    if config.time_column is not None:
        return _by_time(config.time_column, columns, indices, one)
    if config.group_column is not None:
        return _by_group(config, config.group_column, columns, indices, one)
    labels = [columns.labels[index] or () for index in indices]
    if config.stratify == "auto":
        kept, off, one_sided = stratified(indices, one.ratio, seed=config.seed, labels=labels, stream=one.role)
        return kept, off, [_in_part(one_sided, one.role)] if one_sided else []
    return *_at_random(config, indices, labels, one), ()


def _by_time(name: str, columns: Columns, indices: Indices, one: HoldOut) -> tuple[Indices, Indices, Sequence[str]]:
    if not columns.times:
        rule = f"is {name}, but the {one.source} rows, which are cut, have no such column"
        raise UserError.of("dataset.time_column", f"{rule}; name a column that they have, or null")
    times, size = {index: columns.times[index] for index in indices}, newest_size(one.ratio, len(indices))
    try:
        kept, off = cut_newest(indices, size, times)
    except ValueError as error:
        raise UserError.of(
            "dataset.time_column", f"is {name}, by which no rows can be held out: a cut {error}"
        ) from None
    return kept, off, _far_off(one, len(off), size, len(indices), "rows of one time are not parted")


def _by_group(
    config: DatasetConfig, name: str, columns: Columns, indices: Indices, one: HoldOut
) -> tuple[Indices, Indices, Sequence[str]]:
    if not columns.groups:
        rule = f"is {name}, but the {one.source} rows, which are cut, have no such column"
        raise UserError.of("dataset.group_column", f"{rule}; name a column that they have, or null")
    labels = {index: (columns.labels[index] or ()) if config.stratify else () for index in indices}
    groups, size = {index: columns.groups[index] for index in indices}, newest_size(one.ratio, len(indices))
    try:
        kept, off = cut_by_group(indices, one.ratio, seed=config.seed, stream=one.role, groups=groups, labels=labels)
    except ValueError as error:
        raise UserError.of(
            "dataset.group_column", f"is {name}, by which no rows can be held out: a cut {error}"
        ) from None
    return kept, off, _far_off(one, len(off), size, len(indices), "groups are not parted")


def _far_off(one: HoldOut, found: int, wanted: int, total: int, reason: str) -> list[str]:
    if abs(found - wanted) <= max(1, _FAR * wanted):
        return []
    return [f"{found} of {total} rows are held out for {one.role}, not {wanted} ({one.key} is {one.ratio:g}): {reason}"]


def _at_random(
    config: DatasetConfig, indices: Indices, labels: Sequence[tuple[str, ...]], one: HoldOut
) -> tuple[Indices, Indices]:
    if config.stratify and config.task == "multi_label":
        rule = "is true, but rows with several labels cannot be cut in exact proportion; auto does it as far as it goes"
        raise UserError.of("dataset.stratify", rule)
    names = ["".join(label) for label in labels] if config.stratify else None
    try:
        return cut(indices, one.ratio, seed=config.seed, labels=names, stream=one.role)
    except ValueError as error:
        rule = f"is true, which {error} ({one.key} is {one.ratio:g}); auto does it as far as it goes"
        raise UserError.of("dataset.stratify", rule) from None


def _in_part(labels: Sequence[str], role: str) -> str:
    rule = "dataset.stratify is auto: these labels (with their rows) are on one side alone of the cut for"
    return f"{rule} {role}: {listed(labels, 5)}"
