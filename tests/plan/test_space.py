"""The search space of an experiment, and the keys that the command line takes out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.plans import QUICK, faults_of, space_file
from sweep.plan.plan import make_plan

POINTS = ["+experiment=minilm_banking77_lora", "dataset=helpdesk"]


def test_points_of_an_experiment_lose_the_keys_that_the_command_line_fixes() -> None:
    (whole,), (left,) = (make_plan([*POINTS, *more]).config.study.enqueue for more in ([], ["adapter.r=4"]))
    assert dict(left) == {key: value for key, value in whole.items() if key != "adapter.r"}


def test_points_of_an_experiment_belong_to_its_own_search_space() -> None:
    assert make_plan([*POINTS, "study.space=five_knobs"]).config.study.enqueue == ()
    assert make_plan([*POINTS, "study.space=null"]).config.study.enqueue == ()


def test_points_from_the_command_line_have_to_fit() -> None:
    found = faults_of(*POINTS, "study.space=five_knobs", "study.enqueue=[{adapter.r: 4}]")
    assert "adapter.r, which is not searched" in found["study.enqueue[0]"]


def test_a_value_from_the_command_line_is_not_searched() -> None:
    plan = make_plan([QUICK, "optimizer.weight_decay=0"])
    assert "optimizer.weight_decay" not in plan.space and len(plan.space) == 4
    assert plan.notes == ("optimizer.weight_decay is 0, from the command line, and is not searched",)
    assert plan.trial(0, {"optimizer.learning_rate": 2e-3}).config.optimizer.weight_decay == 0


def test_nor_is_one_within_a_mapping_of_the_command_line(tmp_path: Path) -> None:
    plan = make_plan([QUICK, "optimizer={weight_decay: 0, warmup_steps: 0.1}"])
    assert {"optimizer.weight_decay", "optimizer.warmup_steps"}.isdisjoint(one.key for one in plan.space)
    trial = plan.trial(0, {"optimizer.learning_rate": 2e-3})
    assert (trial.config.optimizer.weight_decay, trial.config.optimizer.warmup_steps) == (0, 0.1)
    entries = "optimizer.lr_scheduler_kwargs.num_cycles: {choices: [1, 2, 3]}\n"
    restarts = ["optimizer.lr_scheduler_type=cosine_with_restarts", "optimizer.lr_scheduler_kwargs={num_cycles: 4}"]
    assert len(make_plan([QUICK, *restarts, space_file(tmp_path, entries)]).space) == 0


def test_a_mapping_for_a_group_does_not_choose_its_option() -> None:
    plan = make_plan([QUICK, "study.space=adapters", "adapter={head_init: probe}"])
    assert "adapter" in plan.space
    trial = plan.trial(0, {"adapter": "ia3", "optimizer.learning_rate": 2e-3, "trainer.per_device_train_batch_size": 8})
    assert (trial.config.adapter.method, trial.config.adapter.head_init) == ("ia3", "probe")
    assert "head_init: probe" in trial.command


def test_a_value_within_a_mapping_is_of_the_command_line() -> None:
    assert "(from the command line)" in faults_of(QUICK, "trainer={num_train_epochs: 0}")["trainer.num_train_epochs"]


@pytest.mark.parametrize(("adapter", "searched"), [("lora", True), ("ia3", False)])
def test_a_key_under_a_fixed_choice_is_searched_only_if_it_applies(adapter: str, searched: bool) -> None:
    plan = make_plan([QUICK, "study.space=adapters", f"adapter={adapter}"])
    assert "adapter" not in plan.space
    assert ("adapter.r" in plan.space) == searched


def test_a_value_that_the_search_could_ask_for_is_checked(tmp_path: Path) -> None:
    found = faults_of(QUICK, space_file(tmp_path, "adapter.lora_dropout: {low: 0.0, high: 1.5}"))
    assert "search space space.yaml: adapter.lora_dropout=1.5" in found["adapter.lora_dropout"]


def test_a_text_is_no_second_way_to_write_a_number(tmp_path: Path) -> None:
    found = faults_of(QUICK, space_file(tmp_path, "adapter.r: {choices: [4, 8, '8']}"))
    assert set(found) == {"adapter.r"} and 'is "8", but must be a valid integer' in found["adapter.r"]
