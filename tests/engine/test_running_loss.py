"""The training loss of a trial so far."""

from __future__ import annotations

import math

import torch

from sweep.engine.running_loss import RunningLoss


def after(*losses: float) -> RunningLoss:
    loss = RunningLoss()
    for one in losses:
        loss.add(torch.tensor(one))
    return loss


def test_a_mean_is_over_the_steps_since_the_last_log_or_over_all() -> None:
    loss = after(1.0, 2.0)
    assert RunningLoss().mean(0) is None and loss.since_last_log(2) == 1.5
    loss.add(torch.tensor(6.0))
    assert (loss.since_last_log(3), loss.mean(3)) == (6.0, 3.0)


def test_a_cpu_finds_a_loss_that_is_not_finite_at_once() -> None:
    assert after(1.0).bad is None
    found = after(1.0, math.nan).bad
    assert found is not None and math.isnan(found)


def test_a_copy_stays_as_it_is() -> None:
    loss = after(1.0)
    kept = loss.copy()
    loss.add(torch.tensor(2.0))
    assert (kept.mean(1), loss.mean(1)) == (1.0, 3.0)


def test_a_snapshot_has_the_names_of_all_versions() -> None:
    loss = after(1.0)
    assert loss.since_last_log(1) == 1.0
    loss.add(torch.tensor(4.0))
    state = loss.state_dict()
    assert state.keys() == {"bad_loss", "loss_sum", "unlogged", "logged_at"}
    again = RunningLoss()
    again.load_state_dict(state | {"step": 2})
    assert (again.since_last_log(2), again.mean(2)) == (4.0, 2.5)
