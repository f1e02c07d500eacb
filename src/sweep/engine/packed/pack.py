"""The trials that train together on one frozen base, and the models that run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from sweep.config.settings import TrainSettings
from sweep.engine import memory
from sweep.engine.arguments import autocast
from sweep.engine.packed.cpu_shards import CpuShards
from sweep.engine.packed.memory_budget import MemoryBudget
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.slot import Slot
from sweep.model.base import BaseSpec


@dataclass(frozen=True, slots=True)
class PackKey:
    """The values that all trials of a pack share: the base, the precision of its products, and
    gradient checkpointing."""

    base: BaseSpec
    bf16: bool
    checkpointing: bool


@dataclass(slots=True)
class Pack:
    """A pack of trials on one base. `models` has one model a shard, made by `make_model` for the
    present `key`; none before the first trial."""

    device: torch.device
    budget: MemoryBudget
    shards: CpuShards
    make_model: Callable[[TrainSettings, PackKey], PackedModel]
    slots: list[Slot] = field(default_factory=list)
    models: list[PackedModel] = field(default_factory=list)
    key: PackKey | None = None

    @property
    def running(self) -> Sequence[PackedModel]:
        """Return the models of the shards that memory holds at the same time."""
        return self.models[: self.budget.shards]

    def admit(self, slot: Slot, key: PackKey) -> None:
        """Add a trial. Models are made anew where the pack has another key. Raises what
        `PackedModel.admit` raises; the pack is then as before, but for its models."""
        self._make_models(slot.settings, key)
        comparing = [model for model in self.models if model.compares(slot.longest)]
        rows, logits = slot.sample() if comparing else ([], None)
        with autocast(slot.settings.trainer, self.device):
            for model in self.models:
                model.admit(slot.adapters, rows, logits if model in comparing else None)
        self.slots.append(slot)

    def release_model(self) -> None:
        """Free the models: another base is to be loaded, and memory may not hold both."""
        if self.key is not None:
            self.models, self.key = [], None
            memory.release(self.device)

    def reclaim(self) -> None:
        """Free the memory that a pass held when it failed."""
        for model in self.models:
            model.release()
        memory.release(self.device)

    def _make_models(self, settings: TrainSettings, key: PackKey) -> None:
        if self.key == key:
            return
        self.release_model()
        self.models = [self.make_model(settings, key) for _ in range(self.shards.count)]
        self.key = key
        if key.checkpointing:
            for model in self.models:
                model.checkpointing()
