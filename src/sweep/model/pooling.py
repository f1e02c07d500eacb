"""`model.pooling`: which vector of a text the head is given, where it is not to be the architecture's own choice.

A forward hook, an instance of `Pooling`, sits on the headless model. It makes one vector of the last hidden states and
hands it to the head of the model's own class wherever such a head looks: as `pooler_output` (BERT), and at every
position of `last_hidden_state` (DistilBERT and RoBERTa read the first, GPT-2 and Llama the last that does not pad).
Copies of a model keep the hook: `pooling_of` finds it, `remove` takes it off, for whoever runs the headless model and
pools by `pooled`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from sweep.config.schema import PoolingKind
from sweep.errors import UserError
from sweep.model.architecture import body
from sweep.model.blueprint import causal

KEY = "model.pooling"
_POOLER = "pooler"  # by this name wherever transformers has one
_MASK = "attention_mask"


def pooled(hidden: Tensor, mask: Tensor | None, kind: PoolingKind) -> Tensor:
    """(rows, tokens, width) → (rows, width), in the type of `hidden`. `mask` is (rows, tokens), not 0 where a token is
    real, on either side of the padding; None where all are.

    `mean` is of the real tokens, summed in float32 at least; `cls` takes the first of them, `last` the last. `pooler`
    is a module of a model, and none of these: ValueError.
    """
    real = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device) if mask is None else mask.bool()
    match kind:
        case "mean":
            wide = torch.promote_types(hidden.dtype, torch.float32)
            total = hidden.masked_fill(~real.unsqueeze(-1), 0).sum(dim=1, dtype=wide)
            return (total / real.sum(dim=1, keepdim=True).clamp(min=1)).to(hidden.dtype)
        case "cls":
            place = real.int().argmax(dim=1)
        case "last":
            place = (real * torch.arange(hidden.shape[1], device=hidden.device)).argmax(dim=1)
        case _:
            raise ValueError(kind)
    return hidden[torch.arange(len(hidden), device=hidden.device), place]


@dataclass(frozen=True, slots=True)
class Pooling:
    """The hook, to be registered with keyword arguments."""

    kind: PoolingKind

    def __call__(
        self, trunk: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: ModelOutput
    ) -> ModelOutput:
        """Another output of the same class; the headless model's own stays as it is."""
        if not isinstance(output, ModelOutput):
            rule = f"is {self.kind}, but the code of {type(trunk).__name__} does not name what it gives to its head"
            raise UserError.of(KEY, rule)
        hidden: Tensor = output["last_hidden_state"]
        if self.kind == "pooler":
            vector: Tensor = output["pooler_output"]
        else:
            vector = pooled(hidden, _mask(trunk, args, kwargs), self.kind)
        given = {"pooler_output": vector} if hasattr(output, "pooler_output") else {}
        everywhere = vector.unsqueeze(1).expand(-1, hidden.shape[1], -1)
        return type(output)(**{**output, "last_hidden_state": everywhere, **given})


def install(model: PreTrainedModel, kind: PoolingKind | None) -> None:
    """Hook a classifier as it was built; null leaves it as it is. A pooler that is not used any more is taken out, so
    that its weights are neither counted nor trained nor saved.

    Raises UserError where the architecture cannot pool so.
    """
    if kind is None:
        return
    trunk, architecture = model.get_submodule(body(model)), model.config.model_type
    own = getattr(trunk, _POOLER, None)
    if kind == "pooler" and own is None:
        raise UserError.of(KEY, f"is pooler, but {architecture} has none here; use mean, {_one(model.config)} or null")
    if kind == "cls" and causal(model.config):
        rule = f"is cls, but {architecture} reads from left to right, so that its first token has seen no other"
        raise UserError.of(KEY, f"{rule}; use last or mean")
    if kind != "pooler" and isinstance(own, nn.Module):
        setattr(trunk, _POOLER, nn.Identity())
    trunk.register_forward_hook(Pooling(kind), with_kwargs=True)


def pooling_of(model: PreTrainedModel) -> Pooling | None:
    """None where the class pools as it always does."""
    hooks = model.get_submodule(body(model))._forward_hooks.values()
    return next((hook for hook in hooks if isinstance(hook, Pooling)), None)


def remove(model: PreTrainedModel) -> Pooling | None:
    """Take the hook off, so that the headless model gives its own hidden states; what it was."""
    trunk, found = model.get_submodule(body(model)), pooling_of(model)
    for key in [key for key, hook in trunk._forward_hooks.items() if hook is found]:
        del trunk._forward_hooks[key]
        trunk._forward_hooks_with_kwargs.pop(key, None)
    return found


def _mask(trunk: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    if _MASK in kwargs:
        return kwargs[_MASK]  # type: ignore[no-any-return]
    names = list(inspect.signature(trunk.forward).parameters)
    place = names.index(_MASK) if _MASK in names else len(args)
    return args[place] if place < len(args) else None


def _one(config: PreTrainedConfig) -> str:
    return "last" if causal(config) else "cls"
