"""The facts of a plan's models and rows that the memory of a training depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.config.schema import Config
from sweep.provenance import Fingerprint
from sweep.records.final import Parameters


@dataclass(frozen=True, slots=True)
class Needs:
    """`accounts` are counted weights by `built_by`; `longest` has the lengths of the longest
    training rows in tokens, the longest first, by `tokenised_by`."""

    accounts: Mapping[str, Parameters] = field(default_factory=dict)
    longest: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def built_by(config: Config) -> str:
    """Return a fingerprint of the values that a training's model and optimizer depend on."""
    return _named((kind(config), config.adapter, config.optimizer.name))


def kind(config: Config) -> str:
    """Return a fingerprint of the values that the size of a training pass depends on most."""
    trainer, adapter = config.trainer, config.adapter
    quantised = () if adapter.quantization == "none" else (adapter.quantization,)
    return _named((
        config.model, adapter.method, config.prompt, config.dataset.max_length, trainer.in_bf16, trainer.fp16,
        trainer.gradient_checkpointing, *quantised,
    ))  # fmt: skip


def _named(values: tuple[object, ...]) -> str:
    return Fingerprint().add(repr(values)).hex()
