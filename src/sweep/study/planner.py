"""The plan of a trial, where its point can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sweep.config.schema import Scalar
from sweep.errors import UserError
from sweep.plan.plan import Plan
from sweep.records.cost import Cost
from sweep.records.trial import Failed, FailureReason, TrialPlan
from sweep.study.does_not_fit import DoesNotFitError
from sweep.study.feasibility import Feasibility
from sweep.study.memory_prediction import Forecasts


@dataclass(frozen=True, slots=True)
class Untrainable:
    """A point that is not trained: its values break a rule together, it does not fit in memory, or
    its `plan` is beyond a limit."""

    failed: Failed
    plan: TrialPlan | None = None


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans trials by a study's plan, the memory that they will need, and its limits."""

    plan: Plan
    forecasts: Forecasts
    feasibility: Feasibility

    def trial(self, number: int, params: Mapping[str, Scalar]) -> TrialPlan | Untrainable:
        """Return the plan of a trial, or the reason why its point is not trained."""
        try:
            planned = self.plan.trial(number, params)
        except UserError as error:
            message = "; ".join(map(str, error.faults))
            return Untrainable(Failed(FailureReason.INFEASIBLE, message, (), Cost()))
        if (beyond := self.feasibility.before(planned)) is not None:
            return Untrainable(beyond, planned)
        try:
            found = self.forecasts.fitted(planned)
        except DoesNotFitError as error:
            return Untrainable(error.failed, planned)
        if (beyond := self.feasibility.predicted(self.forecasts.peak(found.config))) is not None:
            return Untrainable(beyond, found)
        return self.forecasts.with_share(replace(found, limits=self.feasibility.limits))
