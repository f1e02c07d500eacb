"""The measured memory of a study's trainings, in `memory.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    trained weights.
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

    def evaluation(self, rows: float) -> float:
        """Return the bytes beyond `fixed` that an evaluation of so many rows at once takes."""
        return max(self.eval_first + self.eval_row * max(rows - 1, 0) - self.fixed, 0)


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Bytes of the device of the trials, and those that their trainings take.

    `limit` is all that they may come to hold, and `source` says by whom; `usable` is what was free
    when the study began, with what the process held. These figures go by `asked`, which is
    `engine.memory_limit`; `at_once` trainings of a pack share the memory, the folds of a trial
    among them. `resident` is held without any training: the frozen base, and on the host the
    process itself.
    """

    device: str
    limit: int
    usable: int
    resident: int
    source: str
    asked: float | None = None
    at_once: int = 1
    footprints: tuple[Footprint, ...] = ()

    def same_device(self, other: MemoryFacts) -> bool:
        """Return whether both are of one kind of device, under the same limits."""
        mine = self.device, self.limit, self.source, self.asked, self.at_once
        return mine == (other.device, other.limit, other.source, other.asked, other.at_once)


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
