"""The choice of train, validation and test rows among the stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from sweep.config.schema import DatasetConfig
from sweep.data import usable
from sweep.data.columns import Columns
from sweep.data.duplicates import without
from sweep.data.raw import listed
from sweep.data.select import Indices, at_most, cut, every_nth
from sweep.data.stratify import stratified
from sweep.errors import Fault, UserError

ROLES = ("train", "validation", "test")
Cut = tuple[str, str, float]  # the role that gets rows, the role that they are cut off, and the share


@dataclass(slots=True)
class Selection:
    """The rows of each role as indices into stored columns, the numbers of rows left out by role
    and reason, and notes."""

    columns: dict[str, Columns]
    indices: dict[str, Indices]
    dropped: dict[str, dict[str, int]]
    notes: list[str]


def choose(config: DatasetConfig, stored: Mapping[str, Columns], labels: Set[str]) -> Selection:
    """Return the rows of each role, chosen in the order that `sweep.data.splits.load_splits`
    states.

    Raises UserError if a role has no rows.
    """
    steps = {"train": config.train_every_nth, "validation": config.eval_every_nth, "test": config.test_every_nth}
    found = _usable(stored, steps, labels)
    cuts: list[Cut] = []
    if config.validation_split is None:
        cuts.append(("validation", "train", config.validation_ratio))
    if config.test_ratio is not None:
        cuts.append(("test", "validation", config.test_ratio))
    for one in cuts:
        _cut_off(config, found, one)
    for role, _, _ in cuts:
        found.indices[role] = found.indices[role][:: steps[role]]
    _refuse_empty(config, found, cuts)
    for role, limit in (("validation", config.max_eval_samples), ("test", config.max_test_samples)):
        if role in found.indices:
            found.indices[role] = at_most(found.indices[role], limit, seed=config.seed, stream=role)
    if config.duplicates == "drop":
        _drop_duplicates(found)
    train = at_most(found.indices["train"], config.max_train_samples, seed=config.seed, stream="train")
    found.indices["train"] = train
    return found


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


def _cut_off(config: DatasetConfig, found: Selection, one: Cut) -> None:
    role, source, ratio = one
    columns, indices = found.columns[source], found.indices[source]
    labels = [columns.labels[index] or () for index in indices]
    found.columns[role] = columns
    if config.stratify == "auto":
        kept, off, one_sided = stratified(indices, ratio, seed=config.seed, labels=labels, stream=role)
        found.notes += [_in_part(one_sided, role)] if one_sided else []
    else:
        kept, off = _cut(config, indices, labels, one)
    found.indices[source], found.indices[role] = kept, off


def _cut(
    config: DatasetConfig, indices: Indices, labels: Sequence[tuple[str, ...]], one: Cut
) -> tuple[Indices, Indices]:
    role, _, ratio = one
    if config.stratify and config.task == "multi_label":
        rule = "is true, but rows with several labels cannot be cut in exact proportion; auto does it as far as it goes"
        raise UserError.of("dataset.stratify", rule)
    names = ["".join(label) for label in labels] if config.stratify else None
    try:
        return cut(indices, ratio, seed=config.seed, labels=names, stream=role)
    except ValueError as error:
        rule = f"is true, which {error} (dataset.{role}_ratio is {ratio:g}); auto does it as far as it goes"
        raise UserError.of("dataset.stratify", rule) from None


def _in_part(labels: Sequence[str], role: str) -> str:
    rule = "dataset.stratify is auto: these labels (with their rows) are on one side alone of the cut for"
    return f"{rule} {role}: {listed(labels, 5)}"


def _refuse_empty(config: DatasetConfig, found: Selection, cuts: Sequence[Cut]) -> None:
    """Raise UserError for each role without rows, unless they are cut off such a role."""
    indices, source = found.indices, {role: source for role, source, _ in cuts}
    empty = [role for role in ROLES if role in indices and not indices[role]]
    empty_roles = [role for role in empty if source.get(role) not in empty]
    if empty_roles:
        raise UserError([_emptied(config, role, found.dropped.get(role, {})) for role in empty_roles])


def _emptied(config: DatasetConfig, role: str, dropped: Mapping[str, int]) -> Fault:
    if config.test_ratio is not None and role != "train":
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
