"""An engine that trains nothing: its trials sleep, and report as those of a pack do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.engine.protocol import NextTrial, OnTrialEnd, OnTrialEval, OnTrialSnapshot, OnTrialStep, no_snapshot
from sweep.records.trial import Completed, Cost, EvalPoint, Outcome, Pruned, Step, TrialPlan, Verdict

SLOTS = 16
ROUND = 1.0  # seconds of a step of the whole pack
STEPS, LOGGED, EVALUATED = 60, 10, 20  # steps of a trial, between two rows, between two evaluations
WAITED = "eval/seconds_to_verdict"  # metric: of the evaluation before


@dataclass(slots=True)
class _Slot:
    plan: TrialPlan
    step: int = 0
    waited: float = 0.0
    evals: list[EvalPoint] = field(default_factory=list)


class Simulated:
    """`SLOTS` trials take their steps together. A trial evaluates each `EVALUATED` steps, trials of
    different numbers at different steps, and at its end."""

    def run(
        self,
        next_trial: NextTrial,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        on_end: OnTrialEnd,
        on_snapshot: OnTrialSnapshot = no_snapshot,
    ) -> None:
        """Run trials until there is none left. No snapshot is taken: `on_snapshot` is not called."""
        del on_snapshot
        slots: list[_Slot] = []
        while True:
            while len(slots) < SLOTS and (plan := next_trial()) is not None:
                slots.append(_Slot(plan))
            if not slots:
                return
            time.sleep(ROUND)
            for slot in list(slots):
                if (outcome := _stepped(slot, on_step, on_eval)) is not None:
                    slots.remove(slot)
                    on_end(slot.plan, outcome)


def _stepped(slot: _Slot, on_step: OnTrialStep, on_eval: OnTrialEval) -> Outcome | None:
    """Take one step of a trial. Return how it ended, None if it goes on."""
    slot.step += 1
    metrics = {"train/loss": 1.0 / slot.step} if slot.step % LOGGED == 0 else {}
    verdict = on_step(slot.plan, Step(slot.step, STEPS, slot.step / STEPS, metrics, slot.step * ROUND / SLOTS))
    last = slot.step == STEPS
    if verdict is Verdict.CONTINUE and (last or (slot.step + slot.plan.number) % EVALUATED == 0):
        point = EvalPoint(len(slot.evals) + 1, slot.step, slot.step / STEPS, dict(_scores(slot)))
        began = time.perf_counter()
        verdict = on_eval(slot.plan, point)
        slot.waited = time.perf_counter() - began
        slot.evals.append(point)
    evals, cost = tuple(slot.evals), Cost(seconds=slot.step * ROUND / SLOTS, steps=slot.step)
    if verdict is not Verdict.CONTINUE:
        return Pruned(evals, cost)
    return Completed(max(evals, key=lambda one: one.metrics["eval/accuracy"]), evals, cost) if last else None


def _scores(slot: _Slot) -> Iterator[tuple[str, float]]:
    spread = (slot.plan.number * 0.618034) % 1  # scores that differ, in no order
    yield "eval/accuracy", 0.5 + 0.3 * spread * slot.step / STEPS
    yield "eval/loss", 1.0 - 0.3 * spread * slot.step / STEPS
    if slot.evals:
        yield WAITED, slot.waited


def make_engine(_workspace: Any, _best_dir: Callable[[TrialPlan], Path | None]) -> Simulated:
    """Return the engine of a worker."""
    return Simulated()
