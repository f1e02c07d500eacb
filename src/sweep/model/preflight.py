"""A trial's model before a weight is read: checked, built on the meta device and counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch import nn
from transformers.trainer_utils import check_target_module_exists

from sweep.config.adapter import AdapterConfig
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.data.prompt import bind
from sweep.data.token_limit import check_length
from sweep.errors import Fault, UserError
from sweep.model.account import count
from sweep.model.adapter import attach
from sweep.model.architecture import check_head, read_config
from sweep.model.base import BaseSpec, base_dtype, outline, quantization
from sweep.model.base_model_cache import pick_device
from sweep.model.checkpoint import Checkpoint
from sweep.model.source import find
from sweep.model.tokenizer import load_tokenizer
from sweep.model.weights import stored_dtype
from sweep.records.final import Parameters

T = TypeVar("T")


def preflight(settings: TrainSettings, labels: LabelSpace, device: torch.device | None = None) -> Parameters:
    """Return the counted weights of the trial's model, made on the meta device with its adapter.
    `device` is that of the trial, which may be on another machine; None takes the one in the
    settings.

    Of a hub model that is not in the hub's cache only config, tokenizer and the list of files are
    fetched; what its weights lack (a pooler) then shows on loading only. Raises UserError with
    every fault of model and adapter.
    """
    faults = _missing_parts(settings.adapter)
    device = device or _collect(faults, lambda: pick_device(settings.trainer.device))
    checkpoint = _collect(faults, lambda: find(settings.model))
    if checkpoint is None:
        raise UserError(faults)
    architecture = _collect(faults, lambda: read_config(settings.model, checkpoint))
    causal = settings.prompt is not None
    if architecture is not None:
        _collect(faults, lambda: check_head(settings.model, architecture, causal=causal))
    _collect(faults, checkpoint.weights)
    tokenizer = _collect(faults, lambda: load_tokenizer(settings.model, checkpoint))
    if tokenizer is not None and settings.prompt is None:
        _collect(faults, lambda: check_length(settings.max_length, tokenizer, paired=settings.paired))
    if tokenizer is not None and settings.prompt is not None:
        prompt = settings.prompt
        _collect(faults, lambda: bind(prompt, labels, tokenizer, max_length=settings.max_length))
    if faults or device is None or architecture is None or tokenizer is None:
        raise UserError(faults)
    dtype = base_dtype(settings, stored_dtype(architecture, checkpoint), device)
    spec = BaseSpec(settings.model, dtype, quantization(settings.adapter), labels, tokenizer.pad_token_id, causal)
    return _counted(settings, spec, checkpoint)


def _counted(settings: TrainSettings, spec: BaseSpec, checkpoint: Checkpoint) -> Parameters:
    base = outline(spec, checkpoint)
    if settings.trainer.gradient_checkpointing and not base.model.supports_gradient_checkpointing:
        rule = f"is true, but {settings.model.path} ({base.model.config.model_type}) does not support it"
        raise UserError.of("trainer.gradient_checkpointing", rule)
    model = attach(base, settings)
    _check_projected(model, settings.optimizer.optim_target_modules)
    return count(model, spec.quantization)


def _check_projected(model: nn.Module, targets: Sequence[str] | str | None) -> None:
    """Raise UserError where an optimizer that projects gradients finds no layer to project.

    Layers are found as the Trainer finds them.
    """
    if targets is None:
        return
    trained = [
        name for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.weight.requires_grad
    ]  # fmt: skip
    whole = isinstance(targets, str) and targets.replace("_", "-") == "all-linear"
    try:
        named = any(whole or check_target_module_exists(_listed(targets), name) for name in trained)
    except re.error as error:
        raise UserError.of(
            "optimizer.optim_target_modules", f"is {targets!r}, which is no regular expression: {error}"
        ) from None
    if not named:
        ends = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in trained)) or "none"
        rule = f"is {targets!r}, but names no linear layer that is trained; their names end in: {ends}"
        raise UserError.of("optimizer.optim_target_modules", rule)


def _listed(targets: Sequence[str] | str) -> list[str] | str:
    return targets if isinstance(targets, str) else list(targets)


def _missing_parts(adapter: AdapterConfig) -> list[Fault]:
    if adapter.quantization == "none" or find_spec("bitsandbytes"):
        return []
    rule = f"is {adapter.quantization}, but bitsandbytes is not installed: pip install bitsandbytes"
    return [Fault("adapter.quantization", rule)]


def _collect(faults: list[Fault], found: Callable[[], T]) -> T | None:
    try:
        return found()
    except UserError as error:
        faults += [fault for fault in error.faults if fault not in faults]
        return None
