"""The weights of a winner in float32, without 4-bit layers and without PEFT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sweep.config.adapter import AdapterConfig
from sweep.errors import UserError, first_line, raise_if_out_of_memory
from sweep.model import artifact
from sweep.model.account import unwrapped
from sweep.model.manifest import Manifest

CPU = torch.device("cpu")


def widened(folder: Path, manifest: Manifest, moved: str | None = None) -> nn.Module:
    """Return the saved model in eval mode, in float32 on the CPU: weights in 4 bits are
    dequantised, and an adapter stays beside them. `moved` is the present location of the base.

    Raises UserError if the base cannot be reached.
    """
    if manifest.trained == "everything":
        return _in_float32(artifact.load_full(manifest, folder, CPU))
    base = artifact.load_base(manifest, folder, CPU, moved)
    if manifest.quantization is not None:
        plain = artifact.load_base(replace(manifest, quantization=None), folder, CPU, moved)
        _dequantise(base.model, plain.model)
        base = plain
    _in_float32(base.model)
    return artifact.with_trained(base, manifest, folder).requires_grad_(False).eval()


def unmergeable(adapter: AdapterConfig) -> str:
    """Return why PEFT cannot merge the adapter into dequantised weights; empty where it can."""
    return adapter.model_copy(update={"quantization": "none"}).unmergeable()


def merged(model: nn.Module) -> PreTrainedModel:
    """Return the transformers model with the adapter merged into its weights, which are changed in
    place. Raises UserError if PEFT cannot merge it."""
    if not isinstance(model, PeftModel):
        return unwrapped(model)
    kind = model.peft_config[model.active_adapter].peft_type
    _unwrap_head(model)
    try:
        found: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    except Exception as error:  # PEFT's methods refuse in errors of many kinds
        raise_if_out_of_memory(error)
        rule = f"PEFT could not merge the {getattr(kind, 'value', kind)} adapter: {first_line(error)}"
        raise UserError.of("--to", f"needs merged weights, but {rule}; use --to onnx, or --to hub") from error
    found.requires_grad_(False).train(False)
    return found


def _unwrap_head(model: PeftModel) -> None:
    """Put the trained head in the place of PEFT's wrapper: most of its methods can unwrap a single
    layer, but not a head of several."""
    inner = unwrapped(model)
    for name, module in list(inner.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            inner.set_submodule(name, module.modules_to_save[model.active_adapter])


def _in_float32(model: nn.Module) -> nn.Module:
    """Return the model itself, with all its weights in float32."""
    return model.to(torch.float32).eval()


def _dequantise(quantised: PreTrainedModel, plain: PreTrainedModel) -> None:
    """Set the weights of the linear layers of `plain` to those that the 4-bit layers hold.

    The layers of GPT-2 keep their weights as (in, out), those in 4 bits as (out, in).
    """
    from bitsandbytes.functional import dequantize_4bit

    for name, layer in quantised.named_modules():
        packed: Any = getattr(layer, "weight", None)
        bias: Any = getattr(layer, "bias", None)
        if getattr(packed, "quant_state", None) is not None:
            target = plain.get_submodule(name)
            weight = dequantize_4bit(packed.data, packed.quant_state).float()
            target.weight.data = weight.T.contiguous() if isinstance(target, Conv1D) else weight
            if bias is not None:
                target.bias.data = bias.data.float()
