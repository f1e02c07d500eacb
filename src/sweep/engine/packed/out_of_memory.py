"""Recovery of a pack from running out of memory: free it, go on in smaller parts, or give up a
trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sweep.engine import memory
from sweep.engine.packed.memory_budget import MemoryBudget
from sweep.engine.packed.slot import Slot
from sweep.errors import first_line
from sweep.records.trial import FailureReason

R = TypeVar("R")


@dataclass(slots=True)
class OutOfMemoryRecovery:
    """`reclaim` frees the memory that a failed pass held. Every method raises an error that is
    none of running out of memory."""

    budget: MemoryBudget
    reclaim: Callable[[], None]

    def retry_training(
        self, slots: Sequence[Slot], error: BaseException, train: Callable[[Sequence[Slot]], list[R]]
    ) -> list[R]:
        """Train slots again in smaller parts, by `train`. Return what it returns for each part. A
        single slot that had all memory to itself fails."""
        self._reclaim_after(error)
        if len(slots) == 1 and self.budget.shards == 1:
            slots[0].fail(FailureReason.OUT_OF_MEMORY, first_line(error))
            return []
        self.budget.shrink(len(slots) // 2)
        return train(slots)

    def retry_evaluation(
        self, slots: Sequence[Slot], error: BaseException, evaluate: Callable[[Sequence[Slot]], None]
    ) -> None:
        """Evaluate slots again, by `evaluate`: with fewer tokens in a pass, then slot by slot. A
        single slot fails where a pass holds a single row already."""
        self._reclaim_after(error)
        if self.budget.shrink_evaluation(max(slots[0].validation.lengths)):
            evaluate(slots)
        elif len(slots) > 1:
            for slot in slots:
                evaluate([slot])
        else:
            slots[0].fail(FailureReason.OUT_OF_MEMORY, first_line(error))

    def fail_step(self, slot: Slot, error: BaseException) -> None:
        """Fail a trial whose optimizer found no memory for its state: its weights are updated in
        part, and it cannot go on."""
        self._reclaim_after(error)
        slot.fail(FailureReason.OUT_OF_MEMORY, first_line(error))

    def _reclaim_after(self, error: BaseException) -> None:
        if not memory.out_of_memory(error):
            raise error
        self.reclaim()
