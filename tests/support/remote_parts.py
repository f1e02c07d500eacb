"""What tests let workers do. Workers import this module by its name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from sweep.config.schema import Config
from sweep.data.tokenise import TokenisedData
from sweep.engine.protocol import no_snapshot
from sweep.errors import UserError
from sweep.launch.workspace import Workspace
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.snapshot import Snapshot
from sweep.records.trial import EvalPoint, Step, TrialPlan, Verdict

from .toys import ToyEngine

LARGE = 2**20  # bytes of the adapter and of the snapshots of `WritingEngine`


def process(_workspace: Workspace) -> int:
    return os.getpid()


def process_groups(_workspace: Workspace) -> set[int]:
    """Return the groups of this process and of the one that started it."""
    return {os.getpgid(process) for process in (os.getpid(), os.getppid())}


def environment(_workspace: Workspace, *names: str) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def threads(_workspace: Workspace) -> int:
    import torch

    return torch.get_num_threads()


def received(_workspace: Workspace, config: Config) -> Config:
    return config


def has_test_rows(workspace: Workspace) -> bool:
    return workspace.splits.test is not None


def fails(_workspace: Workspace) -> None:
    raise ZeroDivisionError("a bug on the worker")


@dataclass
class Counter:
    """An object to host."""

    base_models: BaseModelCache
    data: TokenisedData
    count: int = 0

    def add(self, amount: int, told: Any) -> int:
        for _ in range(amount):
            self.count += 1
            told.counted(self.count)
        return self.count

    def refuse(self) -> None:
        raise UserError.of("a.key", "is wrong")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10)

    def close(self) -> None: ...


@dataclass
class WritingEngine(ToyEngine):
    """A toy engine that saves a snapshot after each epoch, which takes `seconds`, and writes the
    adapter of each trial."""

    seconds: float = 0.02
    best_dir: Any = field(default=None)

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, on_snapshot: Any = no_snapshot) -> None:
        def evaluated(plan: TrialPlan, point: EvalPoint) -> Verdict:
            on_snapshot(plan, Snapshot(bytes(LARGE)))
            time.sleep(self.seconds)
            if (folder := self.best_dir(plan)) is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "weights").write_bytes(bytes([point.index]) * LARGE)
            verdict: Verdict = on_eval(plan, point)
            return verdict

        def step(plan: TrialPlan, found: Step) -> Verdict:
            verdict: Verdict = on_step(plan, found)
            return verdict

        super().run(next_trial, step, evaluated, on_end)


def writing_engine(_workspace: Workspace, best_dir: Any) -> WritingEngine:
    return WritingEngine(slots=2, best_dir=best_dir)


def slow_engine(_workspace: Workspace, _best_dir: Any) -> WritingEngine:
    """Return an engine with one slot, whose trials take two seconds."""
    return WritingEngine(seconds=0.7, best_dir=lambda _: None)
