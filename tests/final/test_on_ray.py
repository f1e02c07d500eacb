"""The last steps on a worker that Ray starts on this machine, and that is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.actors import actors_below
from support.finals import assert_same
from support.program import final
from support.program import run as program
from support.tiny import tiny_bert
from sweep.final.progress import Progress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_killed_worker_is_replaced_and_the_results_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model, usual, killed = tiny_bert(tmp_path / "bert"), Progress.add, list[int]()

    def run(name: str) -> int:
        monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / name / "cache"))
        return program(
            monkeypatch, "+experiment=quickstart", f"model.path={model}", f"run_dir={tmp_path / name / 'run'}",
            "tracker=none", "study.space=null", "study.n_trials=1", "study.pruner=none", "engine=trainer", "adapter=lora",
            "trainer.num_train_epochs=2", "trainer.logging_steps=1", "trainer.per_device_train_batch_size=8",
            "dataset.max_train_samples=40", "dataset.max_eval_samples=20", "dataset.max_test_samples=20",
            "study.snapshot_every=0", "launcher=local", "launcher.workers=1",
        )  # fmt: skip

    def add(self: Progress, row: Any) -> bool:
        if row.step == 6 and not killed:
            killed.extend(actors_below(os.getpid()))
            for process in killed:
                os.kill(process, signal.SIGKILL)
        return usual(self, row)

    assert run("whole") == 0
    with monkeypatch.context() as patched:
        patched.setattr(Progress, "add", add)
        assert run("killed") == 0
    assert killed and "on another worker" in capfd.readouterr().err
    assert_same(tmp_path / "killed", tmp_path / "whole")
    assert final(tmp_path / "killed").test_readings == 1
    assert final(tmp_path / "killed").cost.worker
