"""The label space, and the labels of each row as indices into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.config.schema import DatasetConfig
from sweep.data.columns import WHOLE, Columns, Names
from sweep.data.duplicates import loose
from sweep.data.labels import Label, LabelSpace
from sweep.data.raw import listed
from sweep.errors import Fault

MANY = 20


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes label names. `codes` maps a stored label to its index in the label space."""

    space: LabelSpace
    codes: Mapping[str, int]

    def label(self, names: Names) -> Label:
        """Return the encoded label of a row, whose label names must all be known."""
        present = [self.codes[name] for name in names]
        if self.space.task == "single_label":
            return present[0]
        return tuple(int(code in present) for code in range(len(self.space)))


def encoder(config: DatasetConfig, train: Columns) -> tuple[Encoder, list[Fault]]:
    """Return the encoder and the faults of the label space.

    Labels have the order of `dataset.label_names`, else of the label columns, else they are sorted
    as found in train (whole numbers by value). If labels are stored as whole numbers and
    `label_names` are names, i stands for `label_names[i]`.
    """
    stored = {label for row in train.labels if row is not None for label in row}
    names = config.label_names or train.names or tuple(sorted(stored, key=int if _whole(stored) else str))
    codes = {name: code for code, name in enumerate(names)}
    if config.label_names and train.names is None and _whole(stored) and not any(map(WHOLE.fullmatch, names)):
        codes = {str(code): code for code in range(len(names))}
    return Encoder(LabelSpace(config.task, names), codes), list(_space_faults(config, train, names, stored))


def unknown_labels(config: DatasetConfig, encode: Encoder, splits: Mapping[str, Columns]) -> list[Fault]:
    """Return a fault for each split with labels outside the space; none if
    `dataset.unknown_labels` drops such rows."""
    if config.unknown_labels == "drop":
        return []
    faults = []
    for split, columns in splits.items():
        first: dict[str, int] = {}
        for row, labels in enumerate(columns.labels, start=1):
            for label in labels or ():
                if label not in encode.codes:
                    first.setdefault(label, row)
        if first:
            known = {loose(label): label for label in encode.codes}
            found = listed(
                [f"{label!r} (row {row} of {split}{_near(label, known)})" for label, row in first.items()], 3
            )
            where = "dataset.label_names" if config.label_names else "train"
            rule = f"finds an unknown label: {found}; {where} has: {listed(encode.space.names)}"
            faults.append(Fault(_key(config), f"{rule}; dataset.unknown_labels=drop leaves such rows out"))
    return faults


def look_alikes(labels: LabelSpace) -> list[str]:
    """Return a sentence on labels that differ in case or white space alone, without its full stop;
    empty if none do."""
    groups: dict[str, list[str]] = {}
    for name in labels.names:
        groups.setdefault(loose(name), []).append(name)
    alike = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    return [f"labels differ in upper case or white space alone: {listed(alike, 5)}"] if alike else []


def _near(label: str, known: Mapping[str, str]) -> str:
    other = known.get(loose(label))
    return f", {other!r} but for upper case or white space" if other is not None else ""


def _space_faults(config: DatasetConfig, train: Columns, names: Names, stored: set[str]) -> list[Fault]:
    faults = []
    if config.label_names and len(set(config.label_names)) < len(config.label_names):
        twice = next(name for name in names if names.count(name) > 1)
        faults.append(Fault("dataset.label_names", f"names {twice} more than once"))
    if config.label_names and config.label_columns and config.label_names != config.label_columns:
        rule = "is set, but dataset.label_columns names the labels already; set it to null"
        faults.append(Fault("dataset.label_names", rule))
    if len(names) < 2:
        rule = f"finds fewer than two labels in train: {listed(names)}"
        faults.append(Fault(_key(config), rule))
    if config.task == "single_label" and len(stored) == len(train.labels) >= MANY:
        rule = f"finds another label in each of the {len(stored)} rows of train, so it is no column of labels"
        faults.append(Fault(_key(config), rule))
    return faults


def _key(config: DatasetConfig) -> str:
    return "dataset.label_columns" if config.label_columns else "dataset.label_column"


def _whole(labels: set[str]) -> bool:
    """Return whether all labels are whole numbers in their usual notation: "01" is a name."""
    return all(WHOLE.fullmatch(label) and str(int(label)) == label for label in labels)
