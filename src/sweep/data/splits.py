"""The train, validation and test rows of a dataset config, with all checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat

from sweep.config.schema import DatasetConfig
from sweep.data.choose import choose
from sweep.data.columns import (
    Columns,
    clashing_columns,
    missing_columns,
    missing_dividing_columns,
    read_columns,
    wanted,
)
from sweep.data.division import division, division_notes
from sweep.data.duplicates import added, advice, brief, count_duplicates
from sweep.data.label_encoder import Encoder, encoder, look_alikes, unknown_labels
from sweep.data.labels import Label, LabelSpace, applying
from sweep.data.raw import Raw, Source, idle, listed
from sweep.data.select import Indices
from sweep.data.sources import open_source
from sweep.errors import Fault, UserError
from sweep.provenance import DataState, Duplicates, Fingerprint

KEYS = {
    "train": "dataset.train_split",
    "validation": "dataset.validation_split",
    "test": "dataset.test_split",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a split.

    Row i has the text `texts[i]`, for pairs the second text `pairs[i]`, and `labels[i]`: the index
    of its label, or for multi-label a 0 or 1 for each label. `numbers[i]` is its number in the
    stored split, from 1; empty if not known.
    """

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: tuple[Label, ...]
    numbers: tuple[int, ...] = field(default=(), compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.texts)

    def inputs(self) -> Iterator[tuple[str, str | None]]:
        """Return the texts of each row; the second one is None without pairs."""
        return zip(self.texts, self.pairs or repeat(None, len(self)), strict=True)

    def __add__(self, others: Rows) -> Rows:
        """Return the rows of both. Both have pairs, or neither has."""
        pairs = None if self.pairs is None or others.pairs is None else self.pairs + others.pairs
        return Rows(self.texts + others.texts, pairs, self.labels + others.labels, self.numbers + others.numbers)

    def fingerprint(self) -> str:
        """Return a fingerprint of the texts and labels, in order."""
        digest = Fingerprint().add(str(len(self))).add("single" if self.pairs is None else "pairs")
        for (text, pair), label in zip(self.inputs(), self.labels, strict=True):
            digest.add(text).add(pair or "").add(repr(label))
        return digest.hex()


@dataclass(frozen=True, slots=True)
class LockedRows:
    """The test rows.

    `sweep.final` alone opens them, after the winner is chosen; before that only their number and
    texts are used.
    """

    _rows: Rows = field(repr=False)

    def __len__(self) -> int:
        return len(self._rows)

    def open(self) -> Rows:
        """Return the rows with their labels."""
        return self._rows

    def unlabelled(self) -> Rows:
        """Return the rows with their texts, to check their lengths; every row has the first label,
        or none."""
        labels = self._rows.labels
        none: Label = 0 if isinstance(labels[0], int) else (0,) * len(labels[0])
        return replace(self._rows, labels=(none,) * len(labels))


@dataclass(frozen=True, slots=True)
class FoldRows:
    """The rows that a fold trains on, and those that score it."""

    train: Rows
    validation: Rows


@dataclass(frozen=True, slots=True)
class Splits:
    """The rows of an experiment. `warnings` say what may make a score less meaningful.

    With `folds`, the fewest train rows first, `train` and `validation` are the rows of the first
    one, and `whole` all rows that folds were made of.
    """

    labels: LabelSpace
    train: Rows
    validation: Rows
    test: LockedRows | None
    state: DataState
    warnings: tuple[str, ...] = ()
    folds: tuple[FoldRows, ...] = ()
    whole: Rows | None = None

    @property
    def merged(self) -> Splits:
        """Return splits whose train rows are the train and the validation rows, in this order, or
        with folds all rows, without rows to score."""
        none = Rows((), None, ())
        rows = self.train + self.validation if self.whole is None else self.whole
        return replace(self, train=rows, validation=none, test=None, folds=(), whole=None)

    @property
    def all_train(self) -> Rows:
        """Return the train rows, or with folds all rows that folds were made of."""
        return self.train if self.whole is None else self.whole

    @property
    def trained_rows(self) -> int:
        """Return the number of rows in an epoch of a trial, over all folds."""
        return sum(len(fold.train) for fold in self.folds) or len(self.train)

    @property
    def scored_rows(self) -> int:
        """Return the number of rows that score a trial, over all folds."""
        return sum(len(fold.validation) for fold in self.folds) or len(self.validation)

    def fold(self, number: int) -> Splits:
        """Return the splits of a fold; folds are counted from 1."""
        one = self.folds[number - 1]
        return replace(self, train=one.train, validation=one.validation, folds=(), whole=None)


def load_splits(config: DatasetConfig, *, said: Callable[[str], bool] = lambda _: True) -> Splits:
    """Read, check and divide the rows. Raises UserError with all faults.

    The steps, in this order:
    1. Take every n-th row of a stored split.
    2. Drop rows without a text, without a label or with an unknown label, if the config says so.
    3. Cut the validation rows off train, unless they are a stored split; then, with `test_ratio`,
       cut the test rows off the validation rows, or with `folds` off train. `eval_every_nth` and
       `test_every_nth` count the rows cut off. With `group_column` no group is on both sides of a
       cut, with `time_column` the newest rows are cut off.
    4. Apply `max_eval_samples` and `max_test_samples`.
    5. Drop duplicates from train, if the config says so.
    6. Apply `max_train_samples`.
    7. With `folds`, divide the train rows into folds, in place of the first cut of step 3.
       `eval_every_nth` and `max_eval_samples` apply to the validation rows of each fold.

    The label space is that of the whole stored train split, so that no step changes it. `said`
    returns whether the user set a config key; a key of a shipped config that has no effect on a
    copy in another format gives no note.
    """
    source = open_source(config, wanted(config))
    stored, encode, read = _read(config, source, said)
    chosen = choose(config, stored, encode.codes.keys())
    rows = {role: _rows(encode, chosen.columns[role], chosen.indices[role]) for role in KEYS if role in chosen.indices}
    columns, parts = chosen.columns["train"], division(config, chosen)
    folds = tuple(
        FoldRows(_rows(encode, columns, fold.train), _rows(encode, columns, fold.validation)) for fold in chosen.folds
    )
    whole = _rows(encode, columns, chosen.whole) if folds else None
    counted = rows if whole is None else _over_folds(rows, whole, folds)
    repeated = _duplicates(counted, folds)
    state = _state(config, source, encode.space, rows, folds, counted)
    unseen = _unseen_notes(encode.space, counted, folds)
    notes = (*source.notes, *read, *chosen.notes, *look_alikes(encode.space), *unseen, *brief(repeated, state.rows))
    notes += tuple(division_notes(config, chosen, parts))
    notes += advice(repeated) if config.duplicates == "keep" else ()
    return Splits(
        labels=encode.space,
        train=rows["train"],
        validation=rows["validation"],
        test=LockedRows(rows["test"]) if "test" in rows else None,
        state=replace(state, duplicates=tuple(repeated), dropped=chosen.dropped, notes=notes, division=parts),
        warnings=notes,
        folds=folds,
        whole=whole,
    )


def baseline(train: Rows, rows: Rows, labels: LabelSpace) -> tuple[Label, ...]:
    """Return the predictions of the zero-rule classifier for `rows`.

    It predicts the most frequent label of train (the first of several), or for multi-label the
    most frequent value of each label (0 for a tie).
    """
    counts = label_rows(labels, train)
    if labels.task == "single_label":
        return (max(range(len(labels)), key=lambda code: counts[code]),) * len(rows)
    return (tuple(int(count > len(train) / 2) for count in counts),) * len(rows)


def _read(
    config: DatasetConfig, source: Source, said: Callable[[str], bool]
) -> tuple[dict[str, Columns], Encoder, list[str]]:
    """Return the columns of every stored split by role, the encoder of labels, and notes on how
    the splits were read."""
    named = {role: splits[0] for role, splits in _named_splits(config).items()}
    clashing = clashing_columns(config)
    faults = list(clashing)
    raw, stored = {}, {}
    for role, splits in _named_splits(config).items():
        try:
            named[role], read = _first(source, KEYS[role], splits)
        except UserError as error:
            faults += error.faults
            continue
        if read.empty:
            faults.append(Fault(KEYS[role], f"is {named[role]}, which has no rows"))
        else:
            raw[role] = read
    faults += _same_split_twice(named)
    faults += missing_columns(config, {named[role]: one for role, one in raw.items()})
    faults += missing_dividing_columns(config, named["train"], raw["train"]) if "train" in raw else []
    for role, one in raw.items():
        columns, found = read_columns(config, named[role], one)
        faults += found
        if columns is not None and columns.labels:
            stored[role] = columns
    encode = None
    if "train" in stored and not clashing:
        encode, found = encoder(config, stored["train"])
        faults += found
        faults += unknown_labels(config, encode, {named[role]: columns for role, columns in stored.items()})
    if faults or encode is None:
        raise UserError(faults)
    notes = [note for role in stored for note in (*raw[role].notes, *stored[role].notes)]
    return stored, encode, list(dict.fromkeys([*_idle(config, source, [*raw.values()], said), *notes]))


def _idle(config: DatasetConfig, source: Source, read: Sequence[Raw], said: Callable[[str], bool]) -> Iterator[str]:
    """Yield a note on keys that have no effect on any of the splits that were read."""
    yield from idle(config, said, source.unread, "dataset.path is a folder or file here, not on the hub")
    forms = " and ".join(dict.fromkeys(one.form for one in read))
    unread = [name for name in read[0].unread if all(name in one.unread for one in read)]
    yield from idle(config, said, unread, f"what is read is {forms}")


def _named_splits(config: DatasetConfig) -> dict[str, tuple[str, ...]]:
    """Return the names that the split of each role may have."""
    roles = {"train": config.train_split, "validation": config.validation_split, "test": config.test_split}
    return {role: (one,) if isinstance(one, str) else one for role, one in roles.items() if one is not None}


def _first(source: Source, key: str, splits: tuple[str, ...]) -> tuple[str, Raw]:
    """Return the name and the rows of the first of `splits` that can be read.

    Raises UserError with the faults of all.
    """
    faults: list[Fault] = []
    for split in splits:
        try:
            return split, source.read(key, split)
        except UserError as error:
            faults += error.faults
    raise UserError(faults)


def _same_split_twice(named: dict[str, str]) -> list[Fault]:
    """Return faults if two roles share a split; the parts of joined splits are compared one by
    one."""
    faults, seen = [], dict[str, str]()
    for role, split in named.items():
        for part in (part.strip() for part in split.split("+")):
            if part in seen:
                faults.append(Fault(KEYS[role], f"is {split}, but {part} is in {seen[part]} already"))
            seen.setdefault(part, KEYS[role])
    return faults


def _rows(encode: Encoder, columns: Columns, indices: Indices) -> Rows:
    pairs = columns.pairs
    return Rows(
        texts=tuple(columns.texts[index] for index in indices),
        pairs=None if pairs is None else tuple(pairs[index] for index in indices),
        labels=tuple(encode.label(columns.labels[index] or ()) for index in indices),
        numbers=tuple(index + 1 for index in indices),
    )


def _state(
    config: DatasetConfig,
    source: Source,
    labels: LabelSpace,
    rows: Mapping[str, Rows],
    folds: Sequence[FoldRows],
    counted: Mapping[str, Rows],
) -> DataState:
    total = Fingerprint().add(labels.task)
    for name in labels.names:
        total.add(name)
    for role, one in rows.items():
        total.add(role).add(one.fingerprint())
    for fold in folds:
        total.add("fold").add(fold.train.fingerprint()).add(fold.validation.fingerprint())
    return DataState(
        source=config.path,
        revision=source.revision,
        fingerprint=total.hex(),
        rows={role: len(one) for role, one in counted.items()},
        label_names=labels.names,
        label_rows={role: label_rows(labels, one) for role, one in counted.items()},
    )


def _over_folds(rows: Mapping[str, Rows], whole: Rows, folds: Sequence[FoldRows]) -> dict[str, Rows]:
    """Return the rows of each role over all folds: each row of train once, and each scored row."""
    first, *others = (fold.validation for fold in folds)
    return {**rows, "train": whole, "validation": sum(others, start=first)}


def _duplicates(counted: Mapping[str, Rows], folds: Sequence[FoldRows]) -> list[Duplicates]:
    """Return the duplicates. With folds a validation row is looked for in the train part of its
    own fold, and the test rows among all rows of train."""
    if not folds:
        return _counted(counted)
    across = [_counted({"train": fold.train, "validation": fold.validation}) for fold in folds]
    found = _counted({role: one for role, one in counted.items() if role != "validation"})
    return [*found, *added([one for each in across for one in each if one.split != one.also_in])]


def _counted(rows: Mapping[str, Rows]) -> list[Duplicates]:
    return count_duplicates(
        {role: tuple(one.inputs()) for role, one in rows.items()}, {role: one.labels for role, one in rows.items()}
    )


def _unseen_notes(labels: LabelSpace, counted: Mapping[str, Rows], folds: Sequence[FoldRows]) -> Iterator[str]:
    """Yield a note on each role that some label has no row of. With folds each of them needs train
    rows of a label, and one of them validation rows."""
    for role, rows in counted.items():
        parts = [fold.train for fold in folds] if folds and role == "train" else [rows]
        each = zip(labels.names, *(label_rows(labels, part) for part in parts), strict=True)
        unseen = [name for name, *counts in each if not all(counts)]
        if unseen:
            where = " in some fold" if len(parts) > 1 else ""
            yield f"{len(unseen)} of {len(labels)} labels have no {role} row{where}: {listed(unseen, 5)}"


def label_rows(labels: LabelSpace, rows: Rows) -> tuple[int, ...]:
    """Return the number of rows of each label."""
    counts = Counter(code for label in rows.labels for code in applying(label))
    return tuple(counts[code] for code in range(len(labels)))
