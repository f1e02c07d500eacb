"""The memory of a host that two workers share, with workers that Ray starts on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import small_host
from support.plans import space_file
from support.program import run
from support.tiny import tiny_bert
from sweep.records.memory import read_memory
from sweep.records.store import Store
from sweep.records.trial import Completed, Failed, FailureReason, TrialRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LARGE = 2**16  # a rank whose weights and optimizer take a quarter of a gigabyte


def study(root: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> tuple[TrialRecord, ...]:
    """Return the trials of a study on a host with little memory."""
    folder = root / f"{workers}"
    folder.mkdir()
    monkeypatch.setenv("SWEEP_CACHE", str(root / "cache"))
    monkeypatch.setattr("sweep.study.memory_prediction.look", small_host.look)
    monkeypatch.setattr("sweep.study.memory_prediction.measure", small_host.measure)
    code = run(
        monkeypatch, "+experiment=quickstart", f"model.path={root / 'bert'}", f"run_dir={folder / 'run'}", "tracker=none",
        space_file(folder, f"adapter.r: {{choices: [1, {LARGE}]}}\n"), "study.pruner=none", "study.n_trials=2",
        f"study.enqueue=[{{adapter.r: 1}}, {{adapter.r: {LARGE}}}]", "engine=packed", "engine.slots=2",
        "adapter=lora", "trainer.num_train_epochs=1", "dataset.max_train_samples=40", "dataset.max_eval_samples=20",
        "dataset.max_test_samples=20", "launcher=local", f"launcher.workers={workers}",
    )  # fmt: skip
    assert code == 0
    return tuple(Store(folder / "run").trials())


def test_a_trial_that_does_not_fit_beside_another_worker_is_infeasible_and_fits_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_bert(tmp_path / "bert")
    small, large = study(tmp_path, monkeypatch, 2)
    assert isinstance(small.outcome, Completed)
    assert isinstance(large.outcome, Failed) and large.outcome.reason is FailureReason.INFEASIBLE
    assert "each of the 2 workers on its host has" in large.outcome.message
    assert "or fewer workers on a host" in large.outcome.message
    _, alone = study(tmp_path, monkeypatch, 1)
    assert isinstance(alone.outcome, Completed)
    shared, whole = (read_memory(tmp_path / name / "run") for name in ("2", "1"))
    assert shared is not None and whole is not None and (shared.workers, whole.workers) == (2, 1)
