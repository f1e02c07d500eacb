"""The division of the rows of a data set, as records and reports tell it, and notes on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sweep.config.schema import DatasetConfig
from sweep.data.choose import Selection
from sweep.data.select import Indices
from sweep.data.times import Moment
from sweep.provenance import Division


def division(config: DatasetConfig, chosen: Selection) -> Division:
    """Return how the rows were divided. With folds, groups and times of train are those of all its
    rows."""
    counted = tuple((len(fold.train), len(fold.validation)) for fold in chosen.folds)
    if config.time_column is not None:
        ranges = {role: (min(found).shown, max(found).shown) for role, found in _times(chosen).items()}
        return Division("time", config.time_column, ranges=ranges, folds=counted)
    if config.group_column is None:
        return Division(folds=counted)
    groups = {
        role: {chosen.columns[role].groups[index] for index in indices}
        for role, indices in _roles(chosen).items()
        if chosen.columns[role].groups
    }
    shared = {role: len(found & groups["train"]) for role, found in groups.items() if role != "train"}
    return Division(
        "group", config.group_column, {role: len(found) for role, found in groups.items()}, shared, folds=counted
    )


def division_notes(config: DatasetConfig, chosen: Selection, found: Division) -> Iterator[str]:
    """Yield a note for each stored split that has groups of train, or rows that are older than the
    newest of train."""
    for role, count in found.shared.items():
        if count:
            yield (
                f"{count} of {found.groups[role]} groups of {found.column} in {role} are in train too: its scores say "
                "little about new groups"
            )
    times = _times(chosen) if config.time_column is not None else {}
    for role in times:
        if role != "train" and min(times[role]).value < (newest := max(times["train"])).value:
            older = sum(one.value <= newest.value for one in times[role])
            yield (
                f"{older} of {len(times[role])} {role} rows are not newer than the newest train row "
                f"({config.time_column} {newest.shown}): {role} is no look into the future"
            )


def _roles(chosen: Selection) -> Mapping[str, Indices]:
    """Return the rows of each role; with folds, all rows of train, and none of validation."""
    if not chosen.folds:
        return chosen.indices
    tested = {role: found for role, found in chosen.indices.items() if role == "test"}
    return {"train": chosen.whole, **tested}


def _times(chosen: Selection) -> dict[str, list[Moment]]:
    return {
        role: [chosen.columns[role].times[index] for index in indices]
        for role, indices in _roles(chosen).items()
        if chosen.columns[role].times
    }
