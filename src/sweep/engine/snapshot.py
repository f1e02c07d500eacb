"""The state of a trial as a snapshot and back: tensors in safetensors, all else as JSON, no
pickle.

A state is a tree of dicts, lists, tuples, tensors, numbers, texts and None, as PyTorch's
`state_dict` gives it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from sweep.config.settings import TrainSettings
from sweep.provenance import package_versions
from sweep.records.device_time import DeviceTime
from sweep.records.snapshot import (
    DEVICES,
    FORMAT,
    PACKAGES,
    SECONDS,
    STATE,
    STEP,
    VERSION,
    BrokenSnapshotError,
    Snapshot,
)
from sweep.records.trial import TrialPlan

logger = logging.getLogger(__name__)

# Packages that hold the arithmetic of a training, or the layout of its state.
_ARITHMETIC = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")
ENGINE = "engine"  # the key of the engine's name in a state
_ENGINES = {"packed": "the packed engine", "frozen": "the loop over cached features", "trainer": "the Trainer"}
_DICT, _TUPLE, _TENSOR = "dict", "tuple", "tensor"


class NotSnapshottable(Exception):
    """A state that holds an object which is neither a tensor nor a plain value."""


def encode(
    state: Mapping[str, Any], step: int, *, seconds: float = 0.0, devices: Sequence[DeviceTime] = ()
) -> Snapshot:
    """Return the snapshot of a state after `step` optimizer steps, which took so many seconds on
    these devices. Raises NotSnapshottable."""
    tree = _Writer()
    text = json.dumps(tree.plain(state, "state"))
    times = json.dumps([asdict(one) for one in devices])
    header = {
        VERSION: str(FORMAT), STEP: str(step), SECONDS: repr(seconds), DEVICES: times, PACKAGES: _packages(), STATE: text,
    }  # fmt: skip
    return Snapshot(save(tree.tensors, header))


def opened(plan: TrialPlan, device: torch.device, *engines: str) -> dict[str, Any] | None:
    """Return the state of a plan's snapshot. None where it has none, or one that cannot be gone on
    from: a warning says why. `engines`, named as in `Cost`, are those whose snapshots may be gone
    on from: engines draw dropout in ways of their own, and a trial trained by two of them would be
    repeated by none."""
    if plan.snapshot is None:
        return None
    try:
        state = decode(plan.snapshot, device)
        if (former := state.get(ENGINE)) not in engines:
            raise BrokenSnapshotError(f"was taken by {_said(former)}, and now {_said(engines[0])} trains it")
    except BrokenSnapshotError as error:
        logger.warning("trial %d begins anew: its snapshot %s", plan.number, error)
        return None
    return state


def _said(engine: object) -> str:
    return _ENGINES.get(str(engine), f"the engine {engine}")


def made_by(settings: TrainSettings) -> dict[str, str]:
    """Return the parts of a config that decide what a state holds."""
    trainer, split = settings.trainer, {}
    if trainer.effective_batch_size is not None:
        split = {"trainer.gradient_accumulation_steps": str(trainer.gradient_accumulation_steps)}
    return {
        "adapter.method": settings.adapter.method,
        "optimizer.name": settings.optimizer.name,
        "optimizer.lr_scheduler_type": settings.optimizer.lr_scheduler_type,
        **split,
    }


def suited(state: dict[str, Any] | None, plan: TrialPlan, weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Return the state that `opened` gave if a training of these `weights` can go on from it, else
    None: a warning says why."""
    if state is None:
        return None
    saved, present = state["made_by"], made_by(plan.settings)
    other = [
        f"{saved.get(key)} where {key} is now {value}" for key, value in present.items() if saved.get(key) != value
    ]
    if not other and _shapes(state["weights"]) != _shapes(weights):
        other = ["other weights than those that the trial trains"]
    if other:
        logger.warning("trial %d begins anew: its snapshot has %s", plan.number, ", ".join(other))
        return None
    return state


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


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
    memory: set[int] = field(default_factory=set)  # where the tensors in `tensors` begin

    def plain(self, value: Any, path: str) -> Any:
        """Return the JSON of a value; tensors go to `tensors`. `path` is its name in errors."""
        match value:
            case None | bool() | int() | float() | str():
                return value
            case Tensor() if type(value) in (Tensor, nn.Parameter):
                return {_TENSOR: self._name(value), "on": value.device.type}
            case Mapping() if not any(isinstance(key, Tensor) for key in value):
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
            place = tensor.untyped_storage().data_ptr()
            # safetensors refuses tensors that share memory; others are not copied: a model may be large.
            self.tensors[name] = tensor.detach().to("cpu", copy=place in self.memory).contiguous()
            self.memory.add(place)
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
