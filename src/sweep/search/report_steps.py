"""The steps at which trials report scores to the pruner, in a unit common to all trials.

A pruner compares the scores of trials at the same step. It cannot count evaluations instead: with
one every 50 optimizer steps, the third evaluation of a trial with batches of 8 rows comes after
half as many epochs as that of a trial with batches of 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sweep.config.batch import EFFECTIVE
from sweep.config.schema import TrainerConfig
from sweep.config.space import Space
from sweep.config.steps import EARLY, nearest, steps_per_epoch

_ROWS_A_STEP = ("per_device_train_batch_size", "gradient_accumulation_steps")


@dataclass(frozen=True, slots=True)
class ReportSteps:
    """The steps at which trials report to the pruner. `unit` is in epochs; `rows` counts the rows
    of the train split."""

    unit: Fraction
    rows: int

    @classmethod
    def of(cls, trainers: Sequence[TrainerConfig], space: Space, rows: int) -> ReportSteps:
        """Return the report steps of a study. `trainers` are those of a plan's corners.

        The unit is the shortest evaluation interval that the search can ask for: an epoch with
        evaluations at the end of each, an eighth of an epoch with early ones.
        """
        strategies = _asked(trainers, space, "eval_strategy")
        units = [Fraction(1)] if "epoch" in strategies else []
        units += EARLY if "early" in strategies else []
        if "steps" in strategies and (steps := [value for value in _asked(trainers, space, "eval_steps") if value]):
            smallest = trainers[0].model_copy(
                update={name: min(_asked(trainers, space, name)) for name in _ROWS_A_STEP}
            )
            units.append(Fraction(min(steps), steps_per_epoch(rows, smallest)))
        return cls(min(units, default=Fraction(1)), rows)

    def nearest(self, trainer: TrainerConfig, step: int) -> int:
        """Return the report step, from 1, that is nearest to optimizer step `step` of a trial.

        A trial's evaluations are at least a unit apart, so that no two share a report step; only
        the last one, at the trial's end, may share that of the one before.
        """
        epochs = Fraction(step, steps_per_epoch(self.rows, trainer))
        return nearest(epochs / self.unit)


def _asked(trainers: Sequence[TrainerConfig], space: Space, name: str) -> list[Any]:
    """Return the values that trials can have of a key of `trainer`.

    The configured value is left out where the key is searched without a condition.
    """
    key = f"trainer.{name}"
    if name in _ROWS_A_STEP and EFFECTIVE in space:
        trainers = [trainer for trainer in trainers if trainer.effective_batch_size or space[EFFECTIVE].when]
    if key in space and not space[key].when:
        return list(space[key].domain.ends())
    return [getattr(trainer, name) for trainer in trainers]
