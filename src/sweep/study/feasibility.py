"""The judgement of trials by the limits of the study: measured values become outcomes and
constraint values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from sweep.config.limits import (
    COSTS,
    DEVICE_BYTES,
    GROWING,
    TOTAL,
    TRAINED,
    broken_text,
    constraints,
    excess,
    metric_of,
    number,
)
from sweep.config.measured import limit_name
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import Fault
from sweep.model.preflight import preflight
from sweep.plan.plan import Plan, tokenised_by
from sweep.records.cost import Cost
from sweep.records.final import Parameters
from sweep.records.trial import Completed, Failed, FailureReason, Outcome, Pruned, TrialPlan, TrialRecord
from sweep.search.constraints import failure_constraints
from sweep.study.memory_forecast import Peak


@dataclass(slots=True)
class Feasibility:
    """Judges trials by the `limits` of a study, whose data has these `labels` and `folds`."""

    limits: Mapping[str, float]
    labels: LabelSpace
    folds: int | None = None
    _counted: dict[str, Parameters] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan) -> Feasibility:
        """Return the judge of the trials of a plan's study."""
        return cls(plan.config.study.limits, plan.splits.labels, plan.config.dataset.folds)

    def before(self, plan: TrialPlan) -> Failed | None:
        """Return the outcome of a trial that is beyond a limit before it trains; None for one that
        is to be trained."""
        measured = self._sizes(plan.config)
        over = excess(self.limits, measured)
        if not over:
            return None
        return Failed(FailureReason.INFEASIBLE, broken_text(self.limits, measured), (), Cost(), excess=over)

    def predicted(self, peak: Peak | None) -> Failed | None:
        """Return the outcome of a trial whose peak of memory is predicted to be beyond its limit,
        even if the prediction is too high; None for one that is to be trained."""
        limit = self.limits.get(peak.name) if peak is not None else None
        if peak is None or limit is None or peak.least <= limit:
            return None
        over = peak.bytes / limit - 1
        message = (
            f"{peak.name} is predicted to be {number(peak.bytes)}, {100 * over:,.1f} % above the limit of {number(limit)}, "
            "by small trainings that were measured"
        )
        return Failed(FailureReason.INFEASIBLE, message, (), Cost(), excess={peak.name: over})

    def judged(self, plan: TrialPlan, outcome: Outcome) -> Outcome:
        """Return the outcome: that of a trial which completed beyond a limit is infeasible, and
        one that the engine ended for a limit has its excess."""
        measured = self.measured(plan.config, outcome)
        over = excess(self.limits, measured)
        match outcome:
            case Completed(evals=evals, cost=cost) if over:
                metrics = {name: value for name, value in measured.items() if metric_of(name)}
                cost = replace(cost, measured={**cost.measured, **metrics})
                return Failed(FailureReason.INFEASIBLE, broken_text(self.limits, measured), evals, cost, excess=over)
            case Failed(reason=FailureReason.INFEASIBLE) if over:
                return replace(outcome, message=broken_text(self.limits, measured), excess={**outcome.excess, **over})
        return outcome

    def measured(self, config: Config, outcome: Outcome) -> dict[str, float]:
        """Return the values that the limits are about, as far as a trial has them."""
        found = {**self._sizes(config), **_measured(outcome)}
        return {name: found[name] for name in self.limits if name in found}

    def constraints(self, record: TrialRecord) -> dict[str, float]:
        """Return the constraint values of a trial that has ended, by name.

        A pruned trial that kept the limit of a cost so far might have broken it by its end.
        """
        broken = failure_constraints(record.outcome, record.planned_steps(self.folds))
        known = constraints(self.limits, record.measured)
        if isinstance(record.outcome, Pruned):
            known = {name: value for name, value in known.items() if value > 0 or name not in GROWING}
        return {**known, **broken}

    def _sizes(self, config: Config) -> dict[str, float]:
        if not {TRAINED, TOTAL} & self.limits.keys():
            return {}
        key = f"{tokenised_by(config)} {config.adapter!r}"
        if key not in self._counted:
            self._counted[key] = preflight(TrainSettings.of(config), self.labels, torch.device("cpu"))
        found = self._counted[key]
        return {TRAINED: found.trainable, TOTAL: found.total}


def _measured(outcome: Outcome) -> dict[str, float]:
    """Return the costs and the metrics of an outcome by the names of limits, and what its engine
    measured for them. A cost of 0 is not known, but for the GPU's memory of a trial on a CPU."""
    cost = outcome.cost
    costs = {name: getattr(cost, name.partition(".")[2]) for name in COSTS}
    known = {DEVICE_BYTES} if cost.peak_host_bytes else set[str]()
    found: dict[str, float] = {name: value for name, value in costs.items() if value or name in known}
    if isinstance(outcome, Completed):
        found |= {limit_name(name): value for name, value in outcome.best.metrics.items()}
    return found | dict(cost.measured)


def closest(records: Sequence[TrialRecord], limits: Mapping[str, float]) -> Fault | None:
    """Return which trial came closest to the limits of the study, and by how much it missed each.
    Where none is beyond a limit, name the one that came closest to fitting in memory, with its
    message; None where there is no such trial either."""
    over = [
        record for record in records if isinstance(record.outcome, Failed) and record.outcome.excess.keys() & limits.keys()
    ]  # fmt: skip
    if not over:
        return _closest_to_memory(records)
    nearest = min(over, key=lambda record: max(_excess(record).values()))
    missed = "; ".join(
        f"{name} is {number(nearest.measured[name])}, {100 * share:,.1f} % above its limit of {number(limits[name])}"
        if name in nearest.measured and name in limits
        else f"{name} is {100 * share:,.1f} % above its limit"
        for name, share in _excess(nearest).items()
    )
    return Fault("study.limits", f"the smallest excess is that of trial {nearest.number}: {missed}")


def _closest_to_memory(records: Sequence[TrialRecord]) -> Fault | None:
    name = str(FailureReason.OUT_OF_MEMORY)
    over = [record for record in records if isinstance(record.outcome, Failed) and name in record.outcome.excess]
    if not over:
        return None
    nearest = min(over, key=lambda record: _excess(record)[name])
    assert isinstance(nearest.outcome, Failed)
    return Fault("", f"trial {nearest.number} is the closest to fitting in memory: {nearest.outcome.message}")


def _excess(record: TrialRecord) -> Mapping[str, float]:
    assert isinstance(record.outcome, Failed)
    return record.outcome.excess
