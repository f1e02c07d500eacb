"""The wall time of one trial, split into training, evaluation and everything else, and by
device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from sweep.engine import memory
from sweep.records.device_time import DeviceTime, with_present
from sweep.records.trial import TrialPlan


def place_of(trial: TrialPlan, device: torch.device) -> DeviceTime:
    """Return where a trial is trained."""
    return DeviceTime(memory.device_name(device), trial.host, trial.worker)


@dataclass(slots=True)
class Clock:
    """Seconds of a trial that has the process to itself. Time that is neither training nor
    evaluation, such as loading the model, counts in `total` alone.

    `place` is where the trial is trained now, `before` its seconds up to its snapshot.
    """

    started: float = field(default_factory=time.perf_counter)
    loop: float | None = None  # when the training loop began
    evaluating: float = 0.0
    aside: float = 0.0  # in the loop, but no training or evaluation: reporting, keeping the best weights
    since: float | None = None  # when the present `set_aside` began
    place: DeviceTime = DeviceTime()
    before: tuple[DeviceTime, ...] = ()

    @contextmanager
    def on_evaluation(self) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.evaluating += time.perf_counter() - begun

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        self.since = begun = time.perf_counter()
        yield
        self.aside, self.since = self.aside + time.perf_counter() - begun, None

    def begin_loop(self) -> None:
        self.loop = time.perf_counter()

    def devices(self, total: float) -> tuple[DeviceTime, ...]:
        """Return the seconds since the trial began, `total` in all, by device."""
        return with_present(self.before, self.place, total)

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far."""
        total = self.total()
        return {
            "total": total, "training": self.training(), "evaluating": self.evaluating, "aside": self.aside,
            "devices": [asdict(one) for one in self.devices(total)],
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from a `state_dict`: call it after `begin_loop`. The seconds since this
        clock began are kept too."""
        assert self.loop is not None, "the training loop has begun"
        self._load_devices(state)
        self.evaluating, self.aside = state["evaluating"], state["aside"]
        self.started -= state["total"]
        self.loop -= state["training"] + state["evaluating"] + state["aside"]

    def _load_devices(self, state: Mapping[str, Any]) -> None:
        self.before = tuple(DeviceTime(**one) for one in state.get("devices", ()))  # earlier versions wrote none

    def total(self) -> float:
        """Return the seconds since the trial began."""
        return time.perf_counter() - self.started

    def training(self) -> float:
        """Return the seconds of the training loop so far; ask for it when the loop has just
        ended."""
        return 0.0 if self.loop is None else time.perf_counter() - self.loop - self.evaluating - self.aside


@dataclass(slots=True)
class SharedClock(Clock):
    """Seconds of a trial in a pack: its part of the time that all trials take together, so that
    the trials' seconds add up to the wall time."""

    trained: float = 0.0

    @contextmanager
    def on_training(self) -> Iterator[None]:
        """Count what one trial does alone as its training, without what is set aside meanwhile."""
        begun, aside = time.perf_counter(), self.aside
        yield
        self.trained += time.perf_counter() - begun - (self.aside - aside)

    def charge(self, *, training: float = 0.0, evaluating: float = 0.0) -> None:
        self.trained += training
        self.evaluating += evaluating

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._load_devices(state)
        self.trained += state["training"]
        self.evaluating += state["evaluating"]
        self.aside += state["total"] - state["training"] - state["evaluating"]

    def total(self) -> float:
        """Return the seconds charged to the trial so far."""
        running = 0.0 if self.since is None else time.perf_counter() - self.since
        return self.trained + self.evaluating + self.aside + running

    def training(self) -> float:
        """Return the seconds of training charged to the trial so far."""
        return self.trained
