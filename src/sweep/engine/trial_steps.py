"""The optimizer steps of a trial: how many there are, and after which ones it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.config.schema import TrainerConfig
from sweep.config.steps import evaluation_steps, stretched, total_steps


@dataclass(frozen=True, slots=True)
class TrialSteps:
    """The optimizer steps of a training.

    `schedule` is the length of the learning-rate schedule. `last` is the step after which training
    ends, which may come before the end of the schedule. `evaluated` are the steps after which the
    validation split is read, the last step of the schedule among them; it is empty for a training
    without evaluations.
    """

    schedule: int
    last: int
    evaluated: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls, rows: int, trainer: TrainerConfig, *, stop_after: int | None = None, evaluated_as: int | None = None
    ) -> TrialSteps:
        """Return the steps of a training on so many `rows`. With `stop_after` it ends after that
        step of the schedule. Evaluations come at the shares of the schedule of those of a training
        on `evaluated_as` rows; with `stop_after` and without such rows there are none."""
        schedule = total_steps(rows, trainer)
        if stop_after is not None and not evaluated_as:
            return cls(schedule, stop_after)
        evaluated = stretched(evaluation_steps(evaluated_as or rows, trainer), schedule)
        return cls(schedule, schedule if stop_after is None else stop_after, frozenset(evaluated))
