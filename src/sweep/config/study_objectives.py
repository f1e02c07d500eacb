"""The part of `study` that says what is searched for: one objective or two."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from sweep.config.objective import Objective, no_list, second_objective
from sweep.config.section import NonNegative, Section

Direction = Literal["maximize", "minimize"]


class StudyObjectives(Section):
    """The objectives of a study. `metric` is the first one, which scores trials and by which their
    best evaluations are kept."""

    metric: Annotated[str, BeforeValidator(no_list)] = Field(
        "eval/accuracy",
        description="of the validation split; a list of two sets second_metric too: [eval/f1_macro,cost/seconds]",
    )
    direction: Annotated[Direction, BeforeValidator(no_list)] = "maximize"
    second_metric: str | None = Field(
        None, description="a second objective: another metric, or a measured value such as cost/seconds"
    )
    second_direction: Direction | None = Field(None, description="null: as is known of every metric but your own")
    choose_within: NonNegative = Field(
        0.0,
        description="with two objectives: the winner is the best in the second one among the trials that are at most this much "
        "worse in the first one than the best",
    )

    @property
    def objective(self) -> Objective:
        """Return the first metric, which scores trials, and its direction; with it, how a second
        one counts."""
        return Objective(self.metric, self.direction == "maximize", second=self.second, within=self.choose_within)

    @property
    def second(self) -> Objective | None:
        """Return the second objective; None where there is one objective."""
        return second_objective(self.second_metric, self.second_direction) if self.second_metric else None

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return the one objective, or both."""
        return (self.objective, self.second) if self.second else (self.objective,)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Return the direction of each objective."""
        return tuple("maximize" if one.maximize else "minimize" for one in self.objectives)
