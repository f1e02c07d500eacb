"""Folds on a worker that Ray starts on this machine, which is killed in the middle of a fold."""

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
from sweep.records.snapshots import Snapshots, trial_key
from sweep.records.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model, and of a run in this process."""
    found = tmp_path_factory.mktemp("folds")
    tiny_bert(found / "bert")
    with pytest.MonkeyPatch.context() as patch:
        assert run(patch, found, "whole") == 0
    return found


def run(patch: pytest.MonkeyPatch, root: Path, name: str, *more: str) -> int:
    patch.setenv("SWEEP_CACHE", str(root / name / "cache"))
    return program(
        patch, "+experiment=quickstart", f"model.path={root / 'bert'}", f"run_dir={root / name / 'run'}", "tracker=none",
        "study.space=null", "study.n_trials=1", "engine=trainer", "adapter=lora", "trainer.num_train_epochs=2",
        "trainer.per_device_train_batch_size=8", "trainer.calibration=temperature", "dataset.folds=3", "dataset.stratify=auto",
        "dataset.max_train_samples=48", "dataset.max_test_samples=20", "study.snapshot_every=0", *more,
    )  # fmt: skip


def scores(root: Path, name: str) -> bytes:
    return Store(root / name / "run").out_of_fold_path(0).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_worker_goes_on_in_the_middle_of_a_fold(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    usual, kept, killed = Snapshots.write, list[int](), list[int]()

    def write(self: Snapshots, key: str, *rest: Any, **named: Any) -> Any:
        found = usual(self, key, *rest, **named)
        kept.append(1)
        if len(kept) == 2 and key == trial_key(0):
            killed.extend(actors_below(os.getpid()))
            for process in killed:
                os.kill(process, number)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Snapshots, "write", write)
        assert run(patched, root, number.name, "launcher=local", "launcher.workers=1") == 0
    assert killed and scores(root, number.name) == scores(root, "whole")
    ours, theirs = (Store(root / name / "run").trials()[0] for name in (number.name, "whole"))
    assert ours.outcome.evals == theirs.outcome.evals
    assert_same(root / number.name, root / "whole")
    assert final(root / number.name).test_readings == 1
