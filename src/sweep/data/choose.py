"""The choice of train, validation and test rows among the stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from sweep.config.schema import DatasetConfig
from sweep.data import usable
from sweep.data.columns import Columns
from sweep.data.duplicates import without
from sweep.data.folds import Fold, folds
from sweep.data.holdout import HoldOut, hold_out
from sweep.data.select import Indices, at_most, every_nth
from sweep.errors import Fault, UserError

ROLES = ("train", "validation", "test")


@dataclass(slots=True)
class Selection:
    """The rows of each role as indices into stored columns, the numbers of rows left out by role
    and reason, and notes.

    `folds` are those of the `whole` train split, if there are any: the rows of train and of
    validation are then those of the first one.
    """

    columns: dict[str, Columns]
    indices: dict[str, Indices]
    dropped: dict[str, dict[str, int]]
    notes: list[str]
    folds: tuple[Fold, ...] = ()
    whole: Indices = ()


def choose(config: DatasetConfig, stored: Mapping[str, Columns], labels: Set[str]) -> Selection:
    """Return the rows of each role, chosen in the order that `sweep.data.splits.load_splits`
    states.

    Raises UserError if a role has no rows.
    """
    steps = {"train": config.train_every_nth, "validation": config.eval_every_nth, "test": config.test_every_nth}
    found = _usable(stored, steps, labels)
    held_out: list[HoldOut] = []
    if config.validation_split is None and config.folds is None:
        held_out.append(HoldOut("validation", "train", config.validation_ratio))
    if config.test_ratio is not None:
        held_out.append(HoldOut("test", "validation" if config.folds is None else "train", config.test_ratio))
    for one in held_out:
        _hold_out(config, found, one)
    for one in held_out:
        found.indices[one.role] = found.indices[one.role][:: steps[one.role]]
    _refuse_empty(config, found, held_out)
    for role, limit in (("validation", config.max_eval_samples), ("test", config.max_test_samples)):
        if role in found.indices:
            found.indices[role] = at_most(found.indices[role], limit, seed=config.seed, stream=role)
    if config.duplicates == "drop":
        _drop_duplicates(found)
    train = at_most(found.indices["train"], config.max_train_samples, seed=config.seed, stream="train")
    found.indices["train"] = train
    if config.folds is not None:
        _into_folds(config, found, steps["validation"])
    return found


def _into_folds(config: DatasetConfig, found: Selection, step: int) -> None:
    """Divide the train rows into folds. Of the validation rows of a fold every `step`-th is kept,
    and at most `max_eval_samples`."""
    columns, found.whole = found.columns["train"], found.indices["train"]
    made, notes = folds(config, columns, found.whole)
    found.folds = tuple(
        Fold(
            one.train,
            at_most(one.validation[::step], config.max_eval_samples, seed=config.seed, stream=f"validation {number}"),
        )
        for number, one in enumerate(made, start=1)
    )
    found.notes += notes
    found.columns["validation"] = columns
    found.indices["train"], found.indices["validation"] = found.folds[0].train, found.folds[0].validation


def _usable(stored: Mapping[str, Columns], steps: Mapping[str, int], labels: Set[str]) -> Selection:
    """Return every n-th row of each split, without rows that cannot be used."""
    found = Selection(dict(stored), {}, {}, [])
    for role, columns in stored.items():
        indices = every_nth(len(columns.labels), steps[role])
        found.indices[role], dropped = usable.usable(columns, indices, labels)
        if dropped:
            found.dropped[role] = dropped
            unknown = usable.unknown_among(columns, indices, labels)
            found.notes += [usable.drop_note(role, n, reason, len(indices), unknown) for reason, n in dropped.items()]
    return found


def _hold_out(config: DatasetConfig, found: Selection, one: HoldOut) -> None:
    columns = found.columns[one.source]
    found.columns[one.role] = columns
    kept, off, notes = hold_out(config, columns, found.indices[one.source], one)
    found.indices[one.source], found.indices[one.role] = kept, off
    found.notes += notes


def _refuse_empty(config: DatasetConfig, found: Selection, held_out: Sequence[HoldOut]) -> None:
    """Raise UserError for each role without rows, unless they are held out of such a role."""
    indices, source = found.indices, {one.role: one.source for one in held_out}
    empty = [role for role in ROLES if role in indices and not indices[role]]
    empty_roles = [role for role in empty if source.get(role) not in empty]
    if empty_roles:
        raise UserError([_emptied(config, role, found.dropped.get(role, {})) for role in empty_roles])


def _emptied(config: DatasetConfig, role: str, dropped: Mapping[str, int]) -> Fault:
    if config.test_ratio is not None and (role != "train" or (config.folds is not None and not dropped)):
        return Fault("dataset.test_ratio", f"is {config.test_ratio}, which leaves no {role} rows")
    if config.validation_split is None and role != "test" and not dropped:
        return Fault("dataset.validation_ratio", f"is {config.validation_ratio}, which leaves no {role} rows")
    reason = max(dropped, key=dropped.__getitem__) if dropped else "unlabelled"
    return Fault(f"dataset.{reason}", f"is {getattr(config, reason)}, which leaves no {role} rows")


def _drop_duplicates(found: Selection) -> None:
    """Drop train rows whose text a scored row or an earlier train row has.

    Raises UserError if no train row remains.
    """
    train = found.indices["train"]
    scored = [row for role in found.indices if role != "train" for row in _inputs(found, role)]
    kept = tuple(train[position] for position in without(_inputs(found, "train"), scored))
    if not kept:
        raise UserError.of("dataset.duplicates", "is drop, which leaves no train rows")
    if dropped := len(train) - len(kept):
        found.dropped.setdefault("train", {})["duplicates"] = dropped
        found.notes.append(usable.drop_note("train", dropped, "duplicates", len(train), []))
    found.indices["train"] = kept


def _inputs(found: Selection, role: str) -> list[tuple[str, str | None]]:
    columns = found.columns[role]
    pairs = columns.pairs
    return [(columns.texts[index], None if pairs is None else pairs[index]) for index in found.indices[role]]
