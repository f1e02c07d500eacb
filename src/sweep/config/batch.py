"""The rows of an optimizer step, and their split into batches."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sweep.config.section import Section

MOST = 65_536  # rows in one pass, or passes in one step
Batch = Annotated[int, Field(ge=1, le=MOST)]

EFFECTIVE = "trainer.effective_batch_size"
PER_DEVICE, ACCUMULATION = "trainer.per_device_train_batch_size", "trainer.gradient_accumulation_steps"
SPLIT = (PER_DEVICE, ACCUMULATION)


class BatchConfig(Section):
    """The part of `trainer` that says how many rows an optimizer step has."""

    effective_batch_size: Batch | None = Field(
        None,
        description="rows of an optimizer step, in place of per_device_train_batch_size and gradient_accumulation_steps, "
        "which then follow from memory",
    )
    per_device_train_batch_size: Batch = 8
    gradient_accumulation_steps: Batch = 1

    @property
    def step_rows(self) -> int:
        """Return the rows of an optimizer step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    def divided(self, rows: int) -> dict[str, int]:
        """Return the split of an optimizer step into batches of so many rows, by name."""
        return {
            "per_device_train_batch_size": rows,
            "gradient_accumulation_steps": self.step_rows // rows,
        }


def divisors(number: int) -> list[int]:
    """Return the divisors of a number, the largest first."""
    small = [one for one in range(1, int(number**0.5) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)}, reverse=True)
