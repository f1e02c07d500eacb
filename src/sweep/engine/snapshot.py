"""The state of a trial as a snapshot and back: tensors in safetensors, all else as JSON, no pickle.

A state is a tree of dicts, lists, tuples, tensors, numbers, texts and None, as PyTorch's
`state_dict` gives it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sweep.config.settings import TrainSettings
from sweep.provenance import package_versions
from sweep.records.snapshot import FORMAT, PACKAGES, STATE, STEP, VERSION, BrokenSnapshotError, Snapshot
from sweep.records.trial import TrialPlan

logger = logging.getLogger(__name__)

# Packages that hold the arithmetic of a training, or the layout of its state.
_ARITHMETIC = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")
_DICT, _TUPLE, _TENSOR = "dict", "tuple", "tensor"


class NotSnapshottable(Exception):
    """A state that holds an object which is neither a tensor nor a plain value."""


def encode(state: Mapping[str, Any], step: int) -> Snapshot:
    """Return the snapshot of a state after `step` optimizer steps. Raises NotSnapshottable."""
    tree = _Writer()
    text = json.dumps(tree.plain(state, "state"))
    return Snapshot(save(tree.tensors, {VERSION: str(FORMAT), STEP: str(step), STATE: text, PACKAGES: _packages()}))


def opened(plan: TrialPlan, device: torch.device) -> dict[str, Any] | None:
    """Return the state of a plan's snapshot. None where it has none, or one that cannot be gone on
    from: a warning says why."""
    if plan.snapshot is None:
        return None
    try:
        return decode(plan.snapshot, device)
    except BrokenSnapshotError as error:
        logger.warning("trial %d begins anew: its snapshot %s", plan.number, error)
        return None


def made_by(engine: str, settings: TrainSettings) -> dict[str, str]:
    """Return by what a training is carried on, as it stands in the snapshots of an engine."""
    return {
        "engine": engine,
        "adapter.method": settings.adapter.method,
        "optimizer.name": settings.optimizer.name,
        "optimizer.lr_scheduler_type": settings.optimizer.lr_scheduler_type,
    }


def suited(
    state: dict[str, Any] | None, number: int, maker: Mapping[str, str], weights: Mapping[str, Tensor]
) -> dict[str, Any] | None:
    """Return the state that `opened` gave if a training made by `maker` of these `weights` can go
    on from it, else None: a warning says why."""
    if state is None:
        return None
    saved, kept = state["made_by"], state["weights"]
    other = [
        f"{name} was {saved.get(name)} and is {value}" for name, value in maker.items() if saved.get(name) != value
    ]
    if not other and {name: one.shape for name, one in kept.items()} != {
        name: one.shape for name, one in weights.items()
    }:
        other = ["it is of other trained weights"]
    if other:
        logger.warning("trial %d begins anew: its snapshot does not suit it, as %s", number, ", ".join(other))
        return None
    return state


def decode(snapshot: Snapshot, device: torch.device) -> dict[str, Any]:
    """Return the state of a snapshot; tensors that were on a GPU come to `device`. A tensor that
    stood in several places is one object again. Raises BrokenSnapshotError."""
    if (saved := snapshot.metadata.get(PACKAGES)) != (present := _packages()):
        raise BrokenSnapshotError(f"was written with {saved}, and this is {present}")
    tree = snapshot.state
    try:
        found: dict[str, Any] = _Reader(load(snapshot.data), device).value(tree)
    except (SafetensorError, KeyError, TypeError) as error:
        raise BrokenSnapshotError(f"cannot be read: {error}") from None
    return found


@cache
def _packages() -> str:
    known = package_versions()
    return ", ".join(f"{name} {known[name]}" for name in _ARITHMETIC if name in known)


@dataclass(slots=True)
class _Writer:
    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # by the id of a tensor
    seen: list[Tensor] = field(default_factory=list)  # keeps the ids from being given again

    def plain(self, value: Any, path: str) -> Any:
        """Return the JSON of a value; tensors go to `tensors`. `path` names the value in errors."""
        match value:
            case None | bool() | int() | float() | str():
                return value
            case Tensor():
                return {_TENSOR: self._name(value), "on": value.device.type}
            case Mapping():
                return {
                    _DICT: [[self.plain(key, path), self.plain(one, f"{path}.{key}")] for key, one in value.items()]
                }
            case tuple():
                return {_TUPLE: [self.plain(one, f"{path}.{index}") for index, one in enumerate(value)]}
            case list():
                return [self.plain(one, f"{path}.{index}") for index, one in enumerate(value)]
        raise NotSnapshottable(f"{path} is of type {type(value).__name__}")

    def _name(self, tensor: Tensor) -> str:
        if id(tensor) not in self.names:
            name = self.names[id(tensor)] = str(len(self.seen))
            self.seen.append(tensor)
            # A copy: safetensors refuses tensors that share memory.
            self.tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()
        return self.names[id(tensor)]


@dataclass(slots=True)
class _Reader:
    tensors: Mapping[str, Tensor]
    device: torch.device
    moved: dict[str, Tensor] = field(default_factory=dict)

    def value(self, tree: Any) -> Any:
        match tree:
            case {"dict": pairs}:
                return {self.value(key): self.value(one) for key, one in pairs}
            case {"tuple": values}:
                return tuple(self.value(one) for one in values)
            case {"tensor": name, "on": place}:
                if name not in self.moved:
                    self.moved[name] = self.tensors[name].to("cpu" if place == "cpu" else self.device)
                return self.moved[name]
            case list():
                return [self.value(one) for one in tree]
        return tree
