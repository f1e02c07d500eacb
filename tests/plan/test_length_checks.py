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


def test_more_steps_than_anyone_trains_are_refused() -> None:
    often = [
        "trainer.eval_strategy=steps",
        "trainer.eval_steps=1",
        "trainer.num_train_epochs=10000",
        "study.space=null",
    ]
    with pytest.raises(UserError, match="trainer.eval_steps: is 1, which makes .* it must be at least"):
        make_plan([QUICK, *often])
