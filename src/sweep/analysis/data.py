"""The rows: splits, labels that no row has, texts in several splits, rows left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.analysis.facts import Facts
from sweep.provenance import Division, Duplicates


@dataclass(frozen=True, slots=True)
class Unscored:
    """Labels that no row of the split has, of `labels` there are: they pull on its macro
    averages."""

    split: str
    names: tuple[str, ...]
    labels: int


@dataclass(frozen=True, slots=True)
class Data:
    """`rows` counts the rows of each split; `shared` are texts that two splits hold; `notes` is
    what the user was told about the data when the study began."""

    source: str
    revision: str
    fingerprint: str
    multi_label: bool
    labels: tuple[str, ...]
    max_length: int | None
    rows: Mapping[str, int]
    notes: tuple[str, ...]
    unscored: tuple[Unscored, ...]
    division: Division
    shared: tuple[Duplicates, ...]


def data(facts: Facts) -> Data:
    """Return what the lock file says of the data."""
    held = facts.lock.data
    return Data(
        source=held.source,
        revision=held.revision,
        fingerprint=held.fingerprint,
        multi_label=facts.multi_label,
        labels=tuple(held.label_names),
        max_length=facts.config.dataset.max_length,
        rows=held.rows,
        notes=tuple(held.notes),
        unscored=tuple(one for split in ("validation", "test") if (one := _unscored(facts, split))),
        division=held.division,
        shared=tuple(one for one in held.duplicates if one.split != one.also_in),
    )


def _unscored(facts: Facts, split: str) -> Unscored | None:
    counts = facts.lock.data.label_rows.get(split, ())
    names = tuple(name for name, rows in zip(facts.lock.data.label_names, counts, strict=False) if not rows)
    return Unscored(split, names, len(counts)) if names else None
