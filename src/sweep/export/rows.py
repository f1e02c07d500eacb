"""The validation rows that an export is checked on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sweep.data.splits import Rows, load_splits
from sweep.errors import Fault, UserError
from sweep.records.winner import Winner


@dataclass(frozen=True, slots=True)
class CheckRows:
    """Some validation rows. `indices` are their places among all `total`, from 0; `note` says what
    is different from the study's data, and is empty where nothing is."""

    rows: Rows
    indices: tuple[int, ...]
    total: int
    note: str = ""


def check_rows(winner: Winner, count: int, data: str | None) -> CheckRows:
    """Return at most `count` validation rows of the study, spread evenly over all. `data` is the
    present location of the data set, where it has moved.

    Raises UserError if the rows cannot be read, or have other labels than the winner.
    """
    config = winner.record.config.dataset
    try:
        splits = load_splits(config.model_copy(update={"path": data}) if data else config)
    except UserError as error:
        asked = (
            "is not given, but an export is checked on validation rows, which cannot be read; --data names their place"
        )
        raise UserError([*error.faults, *([] if data else [Fault("--data", asked)])]) from None
    if splits.labels.names != winner.record.label_names:
        raise UserError.of(
            "--data", f"is {data or config.path}, whose labels are not those that the winner was trained on"
        )
    rows = splits.validation
    kept = min(count, len(rows))
    indices = tuple(index * len(rows) // kept for index in range(kept))
    changed = splits.state.fingerprint != winner.lock.data.fingerprint
    note = "the data set is not the one that the study read: its fingerprint is another" if changed else ""
    return CheckRows(_chosen(rows, indices), indices, len(rows), note)


def _chosen(rows: Rows, indices: tuple[int, ...]) -> Rows:
    return replace(
        rows,
        texts=tuple(rows.texts[index] for index in indices),
        pairs=None if rows.pairs is None else tuple(rows.pairs[index] for index in indices),
        labels=tuple(rows.labels[index] for index in indices),
        numbers=(),
    )
