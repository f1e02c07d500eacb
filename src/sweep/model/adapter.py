"""What a trial trains: an adapter, the head alone, or everything."""

from __future__ import annotations

from typing import Any, cast

from peft import IA3Config, LoraConfig, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sweep.config.schema import AdapterConfig
from sweep.config.settings import TrainSettings
from sweep.model.architecture import body
from sweep.model.base import META, Base
from sweep.model.head import initialise, seeded, widen
from sweep.model.quiet import quiet
from sweep.model.targets import Targets, find_targets

DEFAULT_R = 8
DEFAULT_LORA_ALPHA = 16.0
DEFAULT_LORA_DROPOUT = 0.05


def attach(base: Base, settings: TrainSettings) -> nn.Module:
    """Make `base.model` trainable as `settings.adapter` says; it is changed in place.

    Head and adapter are float32, whatever the base is; with `full` all weights have the base's type. Raises UserError
    if target modules are named that the model does not have.
    """
    model, adapter = base.model, settings.adapter
    if settings.trainer.gradient_checkpointing:
        with quiet():
            model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
    if adapter.method != "full":
        widen(model, base.head)
    with seeded(settings.trainer.seed, model.device):
        initialise(model, base.fresh)
        match adapter.method:
            case "full":
                return model.requires_grad_(True)
            case "head":
                return head_only(model, base.head)
            case "lora" | "ia3":
                return _with_peft(model, adapter, base.head)


def head_only(model: PreTrainedModel, head: tuple[str, ...]) -> nn.Module:
    """Freeze all but the head; the frozen part is in evaluation mode whatever mode the model is in."""
    model.requires_grad_(False)
    for name in head:
        model.get_submodule(name).requires_grad_(True)
    if getattr(model, "is_quantized", False):
        model._hf_peft_config_loaded = True  # the Trainer takes a quantised model only with something added that trains

    trunk = body(model)

    def hold_still(module: nn.Module, _: object) -> None:
        module.get_submodule(trunk).eval()
        for name in head:
            module.get_submodule(name).train(module.training)

    model.register_forward_pre_hook(hold_still)
    return model


def _with_peft(model: PreTrainedModel, adapter: AdapterConfig, head: tuple[str, ...]) -> nn.Module:
    targets = find_targets(model, adapter, head)
    shared: dict[str, Any] = {
        "task_type": TaskType.SEQ_CLS if head else TaskType.CAUSAL_LM,
        "target_modules": targets.modules,
        "modules_to_save": list(head) or None,
        "fan_in_fan_out": _transposed(model, targets),
    }
    peft_config = _lora(adapter, shared) if adapter.method == "lora" else _ia3(targets, shared)
    with quiet():
        return get_peft_model(model, peft_config, low_cpu_mem_usage=model.device == META)


def _lora(adapter: AdapterConfig, shared: dict[str, Any]) -> LoraConfig:
    return LoraConfig(
        r=DEFAULT_R if adapter.r is None else adapter.r,
        lora_alpha=cast(int, DEFAULT_LORA_ALPHA if adapter.lora_alpha is None else adapter.lora_alpha),
        lora_dropout=DEFAULT_LORA_DROPOUT if adapter.lora_dropout is None else adapter.lora_dropout,
        use_rslora=adapter.use_rslora,
        **shared,
    )


def _ia3(targets: Targets, shared: dict[str, Any]) -> IA3Config:
    return IA3Config(feedforward_modules=targets.feedforward, **shared)


def _transposed(model: nn.Module, targets: Targets) -> bool:
    """GPT-2 keeps its linear weights as (in, out); bitsandbytes turns them when it quantises."""
    return any(isinstance(model.get_submodule(name), Conv1D) for name in targets.matched)
