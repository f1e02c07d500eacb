"""The config of the rules that end a search before it has all its trials."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sweep.config.section import Section


class StopConfig(Section):
    """A search ends where one of its rules holds; null is no rule.

    With `study.compare_by` it ends where a rule holds for each compared choice.
    """

    patience: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="trials that end in a row without a better score"
    )
    expected_gain: Annotated[float, Field(gt=0, le=10**6)] | Literal["error"] | None = Field(
        None,
        description="of study.metric, below which the gain that the trials to come are expected to bring ends the search; "
        "error: the standard error of the best validation score",
    )

    @property
    def on(self) -> bool:
        """Return whether there is a rule."""
        return self.patience is not None or self.expected_gain is not None
