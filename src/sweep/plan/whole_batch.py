"""`trainer.effective_batch_size` in place of a batch size and its accumulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from omegaconf.errors import OmegaConfBaseException

from sweep.config.batch import EFFECTIVE, MOST, PER_DEVICE, SPLIT
from sweep.config.compose import COMMAND_LINE
from sweep.config.composed import Composed
from sweep.config.origin import Origins
from sweep.config.schema import Config, Scalar
from sweep.config.space import Space


def whole_batch(composed: Composed, origin: Origins) -> Composed:
    """Return the config with the effective batch size as one batch, until memory divides it.

    A batch size and an accumulation that the user set beside it stay, and are checked later. Those
    of a shipped file give way, and those of the user's own file give way to an effective batch
    size of the command line or the search space.
    """
    rows = _effective(composed)
    if rows is None:
        return composed
    given = [origin(key) for key in SPLIT if origin.chosen(key)]
    gives_way = origin(EFFECTIVE) == COMMAND_LINE and COMMAND_LINE not in given
    return composed.updated(dict(zip(SPLIT, (rows, 1), strict=True))) if not given or gives_way else composed


def replaced(typed: Sequence[str], space: Space, value: Callable[[str], Scalar]) -> dict[str, Scalar]:
    """Return the keys of the search space that an effective batch size on the command line
    replaces. `value` gives their values."""
    replaces = EFFECTIVE in typed and value(EFFECTIVE) is not None
    return {key: value(key) for key in SPLIT if key in space} if replaces else {}


def split_rules(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the fault of a batch size and an accumulation that are not those of the effective
    batch size."""
    trainer = config.trainer
    if trainer.effective_batch_size in (None, trainer.step_rows):
        return
    size, accumulation = trainer.per_device_train_batch_size, trainer.gradient_accumulation_steps
    rule = f"is {trainer.effective_batch_size}, but {' and '.join(SPLIT)} are set too, to {size} and {accumulation}"
    yield EFFECTIVE, f"{rule}; leave both out: they follow from it and from memory"


def search_rules(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    """Yield the fault of a search for the effective batch size and for a part of it."""
    searched = [key for key in SPLIT if key in space]
    if searched and (EFFECTIVE in space or config.trainer.effective_batch_size is not None):
        too = "is searched too" if EFFECTIVE in space else f"is {config.trainer.effective_batch_size}"
        yield searched[0], f"is searched, but {EFFECTIVE} {too}, and decides it; search one of them"


def _effective(composed: Composed) -> int | None:
    """Return the effective batch size; None where it is not set, or no number of rows."""
    try:
        rows = composed.value(EFFECTIVE)
    except OmegaConfBaseException:
        return None
    return rows if isinstance(rows, int) and not isinstance(rows, bool) and 0 < rows <= MOST else None


def with_split(config: Config, rows: int) -> tuple[Config, dict[str, Scalar]]:
    """Return the config with optimizer steps in batches of so many rows. The second value holds
    the split by its keys."""
    split = config.trainer.divided(rows)
    trainer = config.trainer.model_copy(update=split)
    named: dict[str, Scalar] = {key: split[key.partition(".")[2]] for key in SPLIT}
    return config.model_copy(update={"trainer": trainer}), named


def recorded_split(used: Mapping[str, Scalar]) -> int | None:
    """Return the rows of a batch that a trial was trained with; None where it was not divided."""
    rows = used.get(PER_DEVICE)
    return rows if isinstance(rows, int) else None
