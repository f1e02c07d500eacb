"""The pruner's decisions on the evaluations of running trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sweep.config.steps import warmup_steps
from sweep.plan.pausing import pauses
from sweep.plan.plan import Plan
from sweep.records.trial import EvalPoint
from sweep.search.progress import progress, rate_sum
from sweep.search.promotion import Decision, Learning
from sweep.search.report_steps import ReportSteps
from sweep.study.attributes import noted_decision
from sweep.study.optuna_study import OptunaStudy
from sweep.study.running import RunningTrial

# Where one of these is searched, a higher loss may go with a better score.
_TRADED = (
    "trainer.class_weights",
    "trainer.focal_gamma",
    "trainer.logit_adjustment_tau",
    "trainer.label_smoothing_factor",
)


@dataclass(frozen=True, slots=True)
class Judge:
    """Reports scores to Optuna at report steps, and asks the pruner. With `by_loss` trials may be
    compared by their losses too; with `pauses` the pruner may pause them."""

    optuna_study: OptunaStudy
    report_steps: ReportSteps
    by_loss: bool
    pauses: bool

    @classmethod
    def of(cls, plan: Plan, optuna_study: OptunaStudy) -> Self:
        """Return the judge of a plan's trials."""
        comparable = not any(key in plan.space for key in _TRADED)
        study = plan.config.study
        return cls(
            optuna_study, plan.report_steps, by_loss=comparable and study.second is None,
            pauses=pauses(study, plan.splits.state.scored),
        )  # fmt: skip

    def decide(self, running: RunningTrial, point: EvalPoint) -> Decision:
        """Report the score of an evaluation, and return what the pruner decides. Note in `running`
        where it pauses the trial.

        A score that Optuna has from before a stop keeps its verdict, unless the trial was paused
        there and promoted since. Of several scores at one report step the first one counts. A
        trial that was paused and goes on all the same could not be saved: from then on it is
        stopped for good where it falls behind. One that completes although the time of the budget
        is used up is not judged.
        """
        if running.pausing:
            running.savable = running.pausing = False
            self.optuna_study.go_on(running.trial, promoted=False)
        decision = self._decided(running, point)
        running.pausing = decision is Decision.PAUSE
        return decision

    def _decided(self, running: RunningTrial, point: EvalPoint) -> Decision:
        plan, config = running.plan, running.plan.config
        step = self.report_steps.nearest(config.trainer, point.step)
        if step <= running.reported:
            return noted_decision(running.trial.user_attrs, step) if running.taken_up else Decision.GO_ON
        running.reported = step
        total, schedule = plan.total_steps, config.optimizer.lr_scheduler_type
        warmup = warmup_steps(total, config.optimizer.warmup_steps)
        learning = Learning(
            progress(point.step, total=total, warmup=warmup, schedule=schedule),
            rates=rate_sum(config.optimizer.learning_rate, total=total, warmup=warmup, schedule=schedule),
            schedule=self.report_steps.nearest(config.trainer, total),
            loss=point.metrics.get("eval/loss") if self.by_loss else None,
        )
        return self.optuna_study.report(
            running.trial, [point.value(one) for one in config.study.objectives], step, learning=learning,
            judged=point.step < total and not running.to_end,
            warm=point.step > warmup,
            savable=running.savable and self.pauses,
        )  # fmt: skip
