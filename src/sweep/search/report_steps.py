"""Where in its training a trial is scored, in a unit that is the same for all trials of a study.

A pruner compares what trials scored at the same step. The position of an evaluation among the trial's own would not do:
with one every 50 steps, and batches of 8 rows and of 16, the third evaluation of the one trial comes after half as many
epochs as that of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sweep.config.schema import Config
from sweep.config.space import Space
from sweep.config.steps import EARLY, nearest, steps_per_epoch

_ROWS_A_STEP = ("per_device_train_batch_size", "gradient_accumulation_steps")


@dataclass(frozen=True, slots=True)
class ReportSteps:
    """`unit` is in epochs, `rows` are those of the train split."""

    unit: Fraction
    rows: int

    @classmethod
    def of(cls, corners: Sequence[Config], space: Space, rows: int) -> ReportSteps:
        """The unit is the finest evaluation interval that the search can ask for: an epoch with evaluations at the end of
        each, an eighth of one with early ones. `corners` are a plan's."""
        strategies = _asked(corners, space, "eval_strategy")
        units = [Fraction(1)] if "epoch" in strategies else []
        units += EARLY if "early" in strategies else []
        if "steps" in strategies and (steps := [value for value in _asked(corners, space, "eval_steps") if value]):
            smallest = corners[0].trainer.model_copy(
                update={name: min(_asked(corners, space, name)) for name in _ROWS_A_STEP}
            )
            units.append(Fraction(min(steps), steps_per_epoch(rows, smallest)))
        return cls(min(units, default=Fraction(1)), rows)

    def nearest(self, config: Config, step: int) -> int:
        """The milestone, from 1, nearest to optimizer step `step` of a trial. Its evaluations on the way are at least a
        unit apart, so no two have the same one; the one at its end may share that of the one before."""
        epochs = Fraction(step, steps_per_epoch(self.rows, config.trainer))
        return nearest(epochs / self.unit)


def _asked(corners: Sequence[Config], space: Space, name: str) -> list[Any]:
    """The values that trials can have of a key of `trainer`: the configured one counts only where it is not always
    searched over."""
    key = f"trainer.{name}"
    if key in space and not space[key].when:
        return list(space[key].domain.ends())
    return [getattr(corner.trainer, name) for corner in corners]
