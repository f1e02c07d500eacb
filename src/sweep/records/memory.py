"""The measured memory of a study's trainings, in `memory.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sweep.records.disk import write_whole
from sweep.records.migrations import stamped

_NAME = "memory.json"


@dataclass(frozen=True, slots=True)
class Footprint:
    """The memory of one training, beside that of its frozen base, by three small ones on rows of
    `tokens` tokens.

    `fixed` are bytes whatever the batch; each row of a training batch takes `row` more, and each
    row of an evaluation `eval_row` more than the first, beyond `eval_first`. `packed`: rows are
    not padded. `built_by` and `kind` name the configs that it is of, `trained` counts their
    trained weights. `resident` are the bytes that were held without the training. On the host, a
    process that trains holds `process` more bytes whatever the batch, and `gaps` more for each
    further byte of tensors. All three are 0 in files of earlier versions, and `gaps` where it is
    not known.
    """

    built_by: str
    kind: str
    tokens: int
    trained: int
    fixed: int
    row: float
    eval_first: int
    eval_row: float
    packed: bool
    resident: int = 0
    gaps: float = 0.0
    process: int = 0

    def evaluation(self, rows: float) -> float:
        """Return the bytes beyond `fixed` that an evaluation of so many rows at once takes."""
        return max(self.eval_first + self.eval_row * max(rows - 1, 0) - self.fixed, 0)


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Bytes of the device of the trials, and those that their trainings take.

    `limit` is all that they may come to hold, and `source` says by whom; `usable` is what was free
    when the study began, with what the process held. These figures go by `asked`, which is
    `engine.memory_limit`; `at_once` trainings of a pack share the memory, the folds of a trial
    among them; `workers` share that of a host, and `limit` and `usable` are the part of one.
    `resident` is held without any training: the frozen base, and on the host the process itself.
    """

    device: str
    limit: int
    usable: int
    resident: int
    source: str
    asked: float | None = None
    at_once: int = 1
    workers: int = 1
    footprints: tuple[Footprint, ...] = ()

    def same_device(self, other: MemoryFacts) -> bool:
        """Return whether both are of one kind of device, under the same limits."""
        return replace(self, usable=0, resident=0, footprints=()) == replace(other, usable=0, resident=0, footprints=())


_FACTS = TypeAdapter(MemoryFacts)


def read_memory(root: Path) -> MemoryFacts | None:
    """Return the note in the run directory `root`; None where there is none or it is damaged."""
    try:
        return _FACTS.validate_json((root / _NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_memory(root: Path, facts: MemoryFacts) -> None:
    """Write or replace the note. Raises OSError."""
    write_whole(root / _NAME, json.dumps(stamped(_FACTS.dump_python(facts, mode="json")), indent=2) + "\n")


def gib(octets: float) -> str:
    """Return a number of bytes in words."""
    return f"{octets / 2**30:,.{1 if octets >= 10 * 2**30 else 2}f} GiB"
