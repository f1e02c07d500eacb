"""The project's side of several benchmarks: the search alone, without the retraining, the test and
the report after it.

    python -m benchmarks.sweep_search OUT.json [--weigh] OVERRIDES…

is `python -m sweep OVERRIDES…` up to the end of its search, and watches it at the seam between
study and engine: when a step, an evaluation and a trial ended, and, with --weigh, how much memory
was in use after each trial. What OUT.json holds is `benchmarks.sides.Side`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweep.engine.numerics import tell_libraries
from sweep.errors import reported
from sweep.model.source import hub_faults, model_faults
from sweep.plan.plan import make_plan
from sweep.track.faults import tracker_faults

if TYPE_CHECKING:
    import torch

    from sweep.engine.protocol import (
        Engine,
        NextTrial,
        OnTrialEnd,
        OnTrialEval,
        OnTrialSnapshot,
        OnTrialStep,
        no_snapshot,
    )
    from sweep.records.trial import Outcome, Step, TrialPlan, TrialRecord, Verdict
    from sweep.study.session import Session

T = TypeVar("T")
NONE = -1  # the number of a trial that is not there


@dataclass(slots=True)
class Watch:
    """`memory` has, after each trial, the bytes resident in this process, in its children, and
    allocated on the GPU."""

    device: torch.device
    weighing: bool
    timeline: list[tuple[str, int, float, int, float]] = field(default_factory=list)
    memory: list[tuple[int, int, int]] = field(default_factory=list)

    def timed(self, kind: str, trial: int, call: Callable[[], T], rows: int = 0) -> T:
        """Note when the engine called the study, and how long the study took."""
        began = time.perf_counter()
        answer = call()
        self.timeline.append((kind, trial, began, rows, time.perf_counter() - began))
        return answer

    def wait(self, step: int, steps: int) -> None:
        """Wait for the device at the first and the last step of an epoch, and at no other step."""
        from torch import cuda

        if self.device.type == "cuda" and step % steps in (0, 1):
            cuda.synchronize(self.device)

    def weigh(self) -> None:
        import psutil
        from torch import cuda

        process = psutil.Process()
        children = sum(_resident(child) for child in process.children(recursive=True))
        on_device = cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0
        self.memory.append((_resident(process), children, on_device))


@dataclass(frozen=True, slots=True)
class Watched:
    """An `Engine` that notes what another one reports."""

    engine: Engine
    watch: Watch

    def run(
        self,
        next_trial: NextTrial,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        on_end: OnTrialEnd,
        on_snapshot: OnTrialSnapshot = no_snapshot,
    ) -> None:
        timed = self.watch.timed

        def stepped(trial: TrialPlan, step: Step) -> Verdict:
            if not step.step:  # only asks for a verdict
                return on_step(trial, step)
            config = trial.config.trainer
            self.watch.wait(step.step, max(round(trial.total_steps / config.num_train_epochs), 1))
            rows = config.per_device_train_batch_size * config.gradient_accumulation_steps
            return timed("step", trial.number, lambda: on_step(trial, step), rows)

        def ended(trial: TrialPlan, outcome: Outcome) -> None:
            timed("end", trial.number, lambda: on_end(trial, outcome))
            if self.watch.weighing:
                self.watch.weigh()

        def pulled() -> TrialPlan | None:
            trial = timed("next", NONE, next_trial)
            if trial is not None:
                self.watch.timeline[-1] = ("next", trial.number, *self.watch.timeline[-1][2:])
            return trial

        self.engine.run(
            pulled,
            stepped,
            lambda trial, point: timed("eval", trial.number, lambda: on_eval(trial, point)),
            ended,
            on_snapshot,
        )


def main() -> None:
    tell_libraries()
    out, weighing = Path(sys.argv[1]), "--weigh" in sys.argv
    with reported():
        plan = make_plan(
            [text for text in sys.argv[2:] if text != "--weigh"],
            checks=(tracker_faults, lambda config: model_faults(config.model)),
            last=(lambda config: hub_faults(config.model),),
        )

        import torch

        from sweep.study.prepare import prepare
        from sweep.study.search import search
        from sweep.study.session import opened

        plan = prepare(plan)
        with opened(plan) as session:
            watch = Watch(session.base_models.device, weighing)
            began = time.perf_counter()
            records = search(_watched(session, watch))
            seconds = time.perf_counter() - began
    on_gpu = watch.device.type == "cuda"
    out.write_text(json.dumps({
        "seconds": seconds, "trials": [_trial(record) for record in records], "timeline": watch.timeline,
        "memory": watch.memory, "engine": ", ".join(sorted({record.outcome.cost.engine for record in records})),
        "device": torch.cuda.get_device_name(watch.device) if on_gpu else "cpu", "threads": torch.get_num_threads(),
        "peak_device_bytes": max(record.outcome.cost.peak_device_bytes for record in records),
    }))  # fmt: skip


def _watched(session: Session, watch: Watch) -> Session:
    """The session, with its engine watched."""

    class WatchedSession(type(session)):  # type: ignore[misc]
        __slots__ = ()

        def engine(self, points: int | None = None) -> Engine:
            return Watched(super().engine(points), watch)

    return WatchedSession(*(getattr(session, part.name) for part in fields(session)))


def _trial(record: TrialRecord) -> dict[str, Any]:
    if record.best is None:
        raise SystemExit(f"trial {record.number} {record.state}: {getattr(record.outcome, 'message', '')}")
    cost = record.outcome.cost
    return {
        "rows": cost.samples, "eval_rows": cost.eval_samples, "seconds": cost.seconds,
        "accuracy": record.outcome.evals[-1].metrics["eval/accuracy"], "inside": cost.train_seconds + cost.eval_seconds,
        "params": dict(record.params),
    }  # fmt: skip


def _resident(process: Any) -> int:
    """Return the resident bytes: anonymous pages where the system separates them, since it drops
    pages of files at will."""
    import psutil

    status = Path(f"/proc/{process.pid}/status")
    try:
        lines = status.read_text().splitlines() if status.exists() else []
        found = next((line for line in lines if line.startswith("RssAnon:")), None)
        return int(found.split()[1]) * 1024 if found else int(process.memory_info().rss)
    except (OSError, psutil.NoSuchProcess):  # it has ended
        return 0


if __name__ == "__main__":
    main()
