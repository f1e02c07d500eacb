"""The config of a study's budget."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sweep.config.section import Seconds, Section


class BudgetConfig(Section):
    """The most that the search of a study may use up, over all its runs; null is no limit.

    Fresh seeds, the retraining, the refit and the test reading come after the search, and are in
    no budget.
    """

    device_hours: Annotated[float, Field(gt=0, le=10**7)] | None = Field(
        None, description="hours of training and evaluating, of all devices together"
    )
    trials: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="trials that start, those that are tried again included"
    )
    seconds: Seconds | None = Field(None, description="wall-clock time of the search")
