"""An engine that trains nothing: its trials sleep, and report as those of a pack do."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sweep.engine.protocol import NextTrial, OnTrialEnd, OnTrialEval, OnTrialSnapshot, OnTrialStep, no_snapshot
from sweep.records.cost import Cost
from sweep.records.snapshot import FORMAT, SECONDS, STATE, STEP, VERSION, Snapshot
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, Pruned, Step, TrialPlan, Verdict

SLOTS = 16
ROUND = 1.0  # seconds of a step of the whole pack
LOGGED, EVALUATED = 10, 20  # steps between two rows, between two evaluations
SAVED = 1_100_000  # bytes of a snapshot of a LoRA trial on MiniLM


@dataclass(slots=True)
class _Slot:
    plan: TrialPlan
    seconds: float  # of a step
    step: int = 0
    evals: list[EvalPoint] = field(default_factory=list)

    @classmethod
    def of(cls, plan: TrialPlan, seconds: float) -> _Slot:
        """Return a trial at its beginning, or where its snapshot was taken. A step takes
        `seconds`."""
        if plan.snapshot is None:
            return cls(plan, seconds)
        evals = [EvalPoint(**one) for one in plan.snapshot.state]
        return cls(plan, seconds, plan.snapshot.step, evals=evals)

    @property
    def steps(self) -> int:
        return self.plan.total_steps

    @property
    def cost(self) -> Cost:
        return Cost(seconds=self.step * self.seconds / SLOTS, steps=self.step)

    def snapshot(self) -> Snapshot:
        """Return a snapshot as large as that of a real trial."""
        known = {VERSION: str(FORMAT), STEP: str(self.step), SECONDS: str(self.cost.seconds)}
        known[STATE] = json.dumps([asdict(one) for one in self.evals])
        header = json.dumps({"__metadata__": known}).encode()
        return Snapshot(len(header).to_bytes(8, "little") + header + bytes(SAVED))


@dataclass(frozen=True, slots=True)
class Simulated:
    """`SLOTS` trials take their steps together. A trial evaluates each `EVALUATED` steps, trials of
    different numbers at different steps, and at its end. It has a snapshot where it is put away
    and, with `saves`, after each evaluation but the last. A step takes `seconds`. The time from
    each evaluation to its verdict is written to a file of this process in the folder `verdicts`."""

    verdicts: Path
    saves: bool = True
    seconds: float = ROUND

    def run(
        self,
        next_trial: NextTrial,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        on_end: OnTrialEnd,
        on_snapshot: OnTrialSnapshot = no_snapshot,
    ) -> None:
        """Run trials until there is none left."""
        slots: list[_Slot] = []
        while True:
            while len(slots) < SLOTS and (plan := next_trial()) is not None:
                slots.append(_Slot.of(plan, self.seconds))
            if not slots:
                return
            time.sleep(self.seconds)
            for slot in list(slots):
                before = len(slot.evals)
                outcome = _stepped(slot, on_step, partial(self._judged, on_eval))
                stopped = isinstance(outcome, Failed)
                if stopped or (self.saves and outcome is None and len(slot.evals) > before):
                    on_snapshot(slot.plan, slot.snapshot())
                if outcome is not None:
                    slots.remove(slot)
                    on_end(slot.plan, outcome)

    def _judged(self, on_eval: OnTrialEval, plan: TrialPlan, point: EvalPoint) -> Verdict:
        """Return the verdict on an evaluation, and write how long it took."""
        began = time.perf_counter()
        verdict = on_eval(plan, point)
        seconds = time.perf_counter() - began
        with (self.verdicts / f"{os.getpid()}.txt").open("a") as file:
            file.write(f"{seconds}\n")
        return verdict


def verdict_seconds(folder: Path) -> list[float]:
    """Return the seconds from each evaluation to its verdict that workers wrote to a folder."""
    return [float(line) for file in sorted(folder.iterdir()) for line in file.read_text().split()]


def _stepped(slot: _Slot, on_step: OnTrialStep, on_eval: OnTrialEval) -> Outcome | None:
    """Take one step of a trial. Return how it ended, None if it goes on."""
    slot.step += 1
    metrics = {"train/loss": 1.0 / slot.step} if slot.step % LOGGED == 0 else {}
    verdict = on_step(slot.plan, Step(slot.step, slot.steps, slot.step / slot.steps, metrics, slot.cost.seconds))
    last = slot.step == slot.steps
    if verdict is Verdict.CONTINUE and (last or (slot.step + slot.plan.number) % EVALUATED == 0):
        point = EvalPoint(len(slot.evals) + 1, slot.step, slot.step / slot.steps, dict(_scores(slot)))
        verdict = on_eval(slot.plan, point)
        slot.evals.append(point)
    if verdict in (Verdict.INTERRUPT, Verdict.PUT_AWAY) and not last:
        return Failed(FailureReason.INTERRUPTED, f"verdict {verdict}", tuple(slot.evals), slot.cost)
    if verdict is Verdict.PRUNE:
        return Pruned(tuple(slot.evals), slot.cost)
    if not last:
        return None
    return Completed(max(slot.evals, key=lambda one: one.metrics["eval/accuracy"]), tuple(slot.evals), slot.cost)


def _scores(slot: _Slot) -> Iterator[tuple[str, float]]:
    gain = 0.3 * _spread(slot.plan) * slot.step / slot.steps
    yield "eval/accuracy", 0.5 + gain
    yield "eval/loss", 1.0 - gain


def _spread(plan: TrialPlan) -> float:
    """Return a number from 0 to 1 of each trial, spread evenly, in no order."""
    return (plan.number * 0.618034) % 1


def make_engine(
    _workspace: Any, _best_dir: Callable[[TrialPlan], Path | None], *, verdicts: Path, saves: bool, seconds: float
) -> Simulated:
    """Return the engine of a worker."""
    return Simulated(verdicts, saves, seconds)


def engine_maker(
    verdicts: Path, *, saves: bool, seconds: float
) -> Callable[[Any, Callable[[TrialPlan], Path | None]], Simulated]:
    """Return the function that makes the engine of a worker."""
    return partial(make_engine, verdicts=verdicts, saves=saves, seconds=seconds)
