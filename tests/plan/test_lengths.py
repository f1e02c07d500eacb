"""Searched warmups, cut to the lengths of trials."""

from __future__ import annotations

import shlex
from pathlib import Path

from support.plans import QUICK, space_file
from sweep.plan.plan import make_plan


def test_a_searched_warmup_is_cut_to_each_trial_s_length(tmp_path: Path) -> None:
    space = space_file(
        tmp_path, "optimizer.warmup_steps: {low: 0, high: 60}\ntrainer.num_train_epochs: {low: 1, high: 9}"
    )
    plan = make_plan([QUICK, space, "trainer.per_device_train_batch_size=16"])
    assert any(
        "is searched up to 60, but the shortest trial of this search has 35 steps" in note for note in plan.notes
    )
    short = plan.trial(0, {"optimizer.warmup_steps": 60, "trainer.num_train_epochs": 1})
    assert (short.params["optimizer.warmup_steps"], short.config.optimizer.warmup_steps) == (60, 34)
    assert dict(short.used) == {"optimizer.warmup_steps": 34} and "optimizer.warmup_steps=34" in short.command
    again = make_plan(shlex.split(short.command)[3:])
    assert again.config.optimizer == short.config.optimizer
    long = plan.trial(1, {"optimizer.warmup_steps": 60, "trainer.num_train_epochs": 9})
    assert (long.config.optimizer.warmup_steps, dict(long.used)) == (60, {})


def test_a_point_that_is_tried_first_has_its_warmup_cut_too(tmp_path: Path) -> None:
    point = "study.enqueue=[{optimizer.warmup_steps: 60}]"
    space = space_file(tmp_path, "optimizer.warmup_steps: {low: 0, high: 60}")
    few = ["trainer.num_train_epochs=1", "trainer.per_device_train_batch_size=16", "study.n_trials=1"]
    (note,) = (note for note in make_plan([QUICK, space, point, *few]).notes if "warmup" in note)
    assert "searched up to 60" in note
