"""Trials that are too long to be counted, or too short for their warmup."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.plans import QUICK, space_file
from sweep.errors import UserError
from sweep.plan.plan import make_plan


def test_a_fixed_warmup_is_held_against_the_shortest_trial_of_the_search(tmp_path: Path) -> None:
    space = space_file(tmp_path, "trainer.num_train_epochs: {low: 1, high: 9}")
    with pytest.raises(UserError, match="is 60, but must be below the 35 steps.*type optimizer.warmup_steps=0.1"):
        make_plan([QUICK, space, "trainer.per_device_train_batch_size=16", "optimizer.warmup_steps=60"])


def test_a_warmup_that_is_searched_under_a_condition_has_a_fixed_value_too(tmp_path: Path) -> None:
    """A warmup as long as its trial divides by zero in the polynomial schedule."""
    text = "adapter: {choices: [lora, ia3]}\noptimizer.warmup_steps: {low: 0, high: 9, when: {adapter: lora}}"
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(
        "# @package _global_\ndefaults: [quickstart]\n"
        "trainer: {num_train_epochs: 1, per_device_train_batch_size: 16}\n"
        "optimizer: {lr_scheduler_type: polynomial, warmup_steps: 35}\n"
    )
    mine = ["+experiment=mine", space_file(tmp_path, text), "--config-dir", str(tmp_path)]
    with pytest.raises(UserError, match="is 35, but must be below the 35 steps of the shortest trial of this search"):
        make_plan(mine)
    always = space_file(tmp_path, text.partition(", when")[0] + "}")
    assert make_plan(mine[:1] + [always] + mine[2:]).trial(0, {"adapter": "ia3", "optimizer.warmup_steps": 9})


def test_more_steps_than_anyone_trains_are_refused() -> None:
    often = [
        "trainer.eval_strategy=steps",
        "trainer.eval_steps=1",
        "trainer.num_train_epochs=10000",
        "study.space=null",
    ]
    with pytest.raises(UserError, match="trainer.eval_steps: is 1, which makes .* it must be at least"):
        make_plan([QUICK, *often])
