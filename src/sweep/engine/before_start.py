"""A trial that ends before its training begins, or goes on: with the evaluations and the cost of
its snapshot, where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from sweep.engine.clock import SharedClock, place_of
from sweep.engine.protocol import OnTrialStep, StudyCallbacks
from sweep.engine.snapshot import ENGINE, decode
from sweep.engine.trial_state import TrialState
from sweep.engine.trial_steps import TrialSteps
from sweep.records.cost import Cost, unfinished_cost
from sweep.records.device_time import DeviceTime
from sweep.records.snapshot import BrokenSnapshotError
from sweep.records.trial import FailureReason, Outcome, TrialPlan, Verdict


def stopped_before_start(trial: TrialPlan, on_step: OnTrialStep, device: torch.device) -> Outcome | None:
    """Ask the study whether a trial whose model is not loaded yet is still wanted. Return its
    outcome where it is not, else None."""
    state, saved = _put_away(trial, on_step, device)
    state.ask()
    if state.failure is None and state.verdict is Verdict.CONTINUE:
        return None
    return state.outcome(_cost(state, saved, device) if saved else Cost())


def failed_before_start(
    trial: TrialPlan, reason: FailureReason, message: str, device: torch.device, *, seconds: float = 0.0
) -> Outcome:
    """Return the outcome of a trial whose model could not be loaded, in so many seconds."""
    state, saved = _put_away(trial, lambda *_: Verdict.CONTINUE, device)
    state.clock.aside += seconds
    state.fail(reason, message)
    unsaved = unfinished_cost(None, state.clock.place, seconds) if seconds else Cost()
    return state.outcome(_cost(state, saved, device) if saved else unsaved)


def cost_of_snapshot(state: TrialState, saved: Mapping[str, Any], device: torch.device) -> Cost:
    """Put the counts, evaluations and seconds of a snapshot back into the state of a trial that
    ended before its training went on. Return the trial's cost."""
    state.on_train_begin()
    state.load_state_dict(saved["trial"])
    return _cost(state, saved, device)


def saved_cost(trial: TrialPlan) -> Cost | None:
    """Return the cost of a trial up to its snapshot, without the memory that it took. None where
    it has no snapshot that can be read, or one of several folds."""
    cpu = torch.device("cpu")
    state, saved = _put_away(trial, lambda *_: Verdict.CONTINUE, cpu)
    if not saved or trial.snapshot is None:
        return None
    *_, place = DeviceTime(), *trial.snapshot.devices
    cost = _cost(state, saved, cpu)
    return replace(
        cost, device=place.device, host=place.host, worker=place.worker, peak_host_bytes=0, peak_device_bytes=0,
        seconds=trial.snapshot.seconds, devices=trial.snapshot.devices,
    )  # fmt: skip


def _put_away(trial: TrialPlan, on_step: OnTrialStep, device: torch.device) -> tuple[TrialState, dict[str, Any]]:
    """Return the state of a trial that is not loaded, and all that its snapshot holds: nothing
    where it cannot be read, or holds the states of several folds."""
    study = StudyCallbacks(partial(on_step, trial), lambda _: Verdict.CONTINUE)
    steps = TrialSteps(trial.total_steps, trial.total_steps)
    state = TrialState(trial.settings, SharedClock(place=place_of(trial, device)), study, steps)
    if trial.snapshot is None:
        return state, {}
    try:
        saved = decode(trial.snapshot, torch.device("cpu"))
    except BrokenSnapshotError:  # told where the trial begins
        return state, {}
    if ENGINE not in saved:  # of several folds, which have states of their own
        return state, {}
    state.load_state_dict(saved["trial"])
    return state, saved


def _cost(state: TrialState, saved: Mapping[str, Any], device: torch.device) -> Cost:
    return state.cost(
        device,
        engine=saved[ENGINE],
        train_seconds=state.clock.training(),
        flops=saved["flops"],
        train_loss=state.mean_loss(),
    )
