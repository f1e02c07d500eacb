"""The training loss of a trial so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

# The names of the fields in a snapshot.
_KEYS = {"bad": "bad_loss", "total": "loss_sum", "unlogged": "unlogged", "logged_at": "logged_at"}


@dataclass(slots=True)
class RunningLoss:
    """The sum of the losses of a trial's optimizer steps.

    On a GPU the losses are added up there, and are not looked at before they are logged: reading
    them would wait for the device.
    """

    bad: float | None = None  # a loss that is not finite, which only a CPU finds at once
    total: float = 0.0  # over steps, up to `logged_at`
    unlogged: Tensor | None = None  # the sum over the steps since then, on the device
    logged_at: int = 0

    @property
    def device(self) -> torch.device:
        """Return the device of the losses; the CPU before the first one."""
        return torch.device("cpu") if self.unlogged is None else self.unlogged.device

    def add(self, loss: Tensor) -> None:
        """Add the part of a batch in the loss of its optimizer step."""
        if self.unlogged is None:
            self.unlogged = torch.tensor(0.0, device=loss.device)
        self.unlogged += loss
        if loss.device.type == "cpu" and not math.isfinite(value := loss.item()):
            self.bad = value

    def since_last_log(self, step: int) -> float:
        """Return the mean loss of the steps since the last logged one, up to `step`, which is
        logged now."""
        loss = self._read() / (step - self.logged_at)
        self.logged_at = step
        return loss

    def mean(self, steps: int) -> float | None:
        """Return the mean over all of so many steps; None before the first one."""
        self._read()
        return self.total / steps if steps else None

    def copy(self) -> RunningLoss:
        """Return a copy that later losses do not change."""
        return replace(self, unlogged=None if self.unlogged is None else self.unlogged.clone())

    def state_dict(self) -> dict[str, Any]:
        """Return the values by their names in a snapshot."""
        return {key: getattr(self, name) for name, key in _KEYS.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put a `state_dict` back."""
        for name, key in _KEYS.items():
            setattr(self, name, state[key])

    def _read(self) -> float:
        """Move the losses since the last logged step from the device into `total`. Return their
        sum."""
        if self.unlogged is None:
            return 0.0
        value = self.unlogged.item()
        self.unlogged.zero_()
        self.total += value
        return value
