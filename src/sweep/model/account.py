"""The parameter account: how many weights there are, how many of them train, and what they
take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from math import ceil
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from torch.nn import Parameter
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.quantizers_utils import should_convert_module

from sweep.model.architecture import body, head_modules, language_head
from sweep.model.base import Quantization
from sweep.model.label_words import WordScorer
from sweep.records.final import ParameterGroup, Parameters

GROUPS = (
    "embeddings", "attention", "feed-forward", "normalisation", "other", "adapter", "head", "language-model head",
)  # fmt: skip
_FROZEN = ("attention", "feed-forward", "other")  # whose linear layers are quantised
_ATTENTION = ("attn", "attention")
_FEED_FORWARD = frozenset((
    "mlp", "ffn", "feed_forward", "feedforward", "intermediate", "output", "fc1", "fc2", "ffn_output", "wi", "wo",
    "densereludense", "experts", "block_sparse_moe",
))  # fmt: skip

_BLOCK = 64  # weights that share a scale in nf4
_SCALES_BLOCK = 256  # scales that share one in double quantisation
_TABLE_BYTES = 16 * 4  # the sixteen values of nf4, kept with each layer
_SCALES_TABLE_BYTES = 256 * 4 + 4  # the values and the offset of quantised scales


def count(model: nn.Module, planned: Quantization | None = None) -> Parameters:
    """Return the account of a model. Groups are those of `GROUPS` that the model has.

    The frozen original that PEFT keeps of a head is not counted. Weights that two modules share
    are counted once: a language-model head tied to the embeddings counts as embeddings. With
    `planned` a base that is still to be quantised counts as if it were. `bytes` is of weights and
    their scales: gradients, optimizer states and activations come on top.
    """
    inner = unwrapped(model)
    head, words = trained_head(inner), language_head(inner)
    skipped = (*head, *words, *(inner._keep_in_fp32_modules or ()))
    total: Counter[str] = Counter()
    trainable: Counter[str] = Counter()
    size: Counter[str] = Counter()
    adapted = frozenset(name for name, module in inner.named_modules() if isinstance(module, BaseTunerLayer))
    for name, weight, owner in _weights(inner):
        group = "adapter" if _is_added(name, adapted) else _group(name, owner, head, words)
        total[group] += _count(weight)
        trainable[group] += _count(weight) if weight.requires_grad else 0
        quantized = planned is not None and group in _FROZEN and _convertible(name, owner, skipped)
        size[group] += _planned_bytes(weight, planned) if planned and quantized else _bytes(weight)
    groups = {name: ParameterGroup(total[name], trainable[name], size[name]) for name in GROUPS if name in total}
    return Parameters(sum(total.values()), sum(trainable.values()), sum(size.values()), groups)


def _weights(inner: PreTrainedModel) -> Iterator[tuple[str, Parameter, nn.Module]]:
    seen: set[int] = set()
    for module_name, module in inner.named_modules():
        for key, weight in module.named_parameters(recurse=False):
            name = f"{module_name}.{key}"
            if id(weight) not in seen and ".original_module." not in name:
                seen.add(id(weight))
                yield name, weight, module


def unwrapped(model: nn.Module) -> PreTrainedModel:
    """Return the transformers model inside, with PEFT's layers in its place."""
    adapted = without_words(model)
    inner = adapted.get_base_model() if isinstance(adapted, PeftModel) else adapted
    assert isinstance(inner, PreTrainedModel)
    return inner


def without_words(model: nn.Module) -> nn.Module:
    """Return the model that PEFT knows, without the scoring of label words around it."""
    return model.model if isinstance(model, WordScorer) else model


def trained_head(inner: PreTrainedModel) -> tuple[str, ...]:
    """Return the modules of a model, wrapped by PEFT or not, that are trained in full beside an
    adapter. The output layer of a language model is none of them: it is not trained."""
    own = head_modules(inner)
    if all(weight.requires_grad for weight in inner.parameters()):
        return own
    trunk = body(inner)
    below = inner.get_submodule(trunk).named_children()
    return (*(f"{trunk}.{name}" for name, module in below if _trained(module)), *own)


def _trained(module: nn.Module) -> bool:
    flags = [weight.requires_grad for weight in module.parameters()]
    return isinstance(module, ModulesToSaveWrapper) or (bool(flags) and all(flags))


def _is_added(name: str, adapted: Collection[str]) -> bool:
    """Return whether a weight is one that PEFT added to a layer: in the layer, but not in what it
    was before."""
    parts = name.split(".")
    owners = (end for end in range(len(parts) - 1, 0, -1) if ".".join(parts[:end]) in adapted)
    end = next(owners, None)
    return end is not None and parts[end] != "base_layer"


def _group(name: str, owner: nn.Module, head: tuple[str, ...], words: tuple[str, ...]) -> str:
    """Return the group of a weight: by its owner, then by transformers' names of the modules
    around it. BERT's `attention.output` belongs to attention, its `output` to feed-forward."""
    if any(name.startswith(f"{part}.") for part in head):
        return "head"
    if any(name.startswith(f"{part}.") for part in words):
        return "language-model head"
    if isinstance(owner, nn.Embedding):
        return "embeddings"
    if "norm" in type(owner).__name__.lower():
        return "normalisation"
    parts = name.lower().split(".")
    if any(word in part for word in _ATTENTION for part in parts):
        return "attention"
    return "feed-forward" if any(part in _FEED_FORWARD for part in parts) else "other"


def _convertible(name: str, owner: nn.Module, skipped: tuple[str, ...]) -> bool:
    """Return whether transformers hands the weight's layer to bitsandbytes: a plain linear layer
    or GPT-2's, unless it is named as skipped."""
    layer = name.rpartition(".")[0].removesuffix(".base_layer")
    return (type(owner) is nn.Linear or isinstance(owner, Conv1D)) and should_convert_module(layer, list(skipped))


def _count(weight: Parameter) -> int:
    scales = getattr(weight, "quant_state", None)
    return weight.numel() if scales is None else scales.shape.numel()


def _bytes(weight: Parameter) -> int:
    return weight.nbytes + _scale_bytes(getattr(weight, "quant_state", None))


def _scale_bytes(state: Any) -> int:
    if state is None:
        return 0
    offset = state.offset.nbytes if state.offset is not None else 0
    return int(state.absmax.nbytes + state.code.nbytes + offset + _scale_bytes(getattr(state, "state2", None)))


def _planned_bytes(weight: Parameter, planned: Quantization) -> int:
    if weight.ndim == 1:  # a bias is kept in the type of the computation
        return weight.numel() * int(getattr(torch, planned.compute_dtype).itemsize)
    scales = ceil(weight.numel() / _BLOCK)
    scale_bytes = scales + 4 * ceil(scales / _SCALES_BLOCK) + _SCALES_TABLE_BYTES if planned.double else 4 * scales
    return ceil(weight.numel() / 2) + _TABLE_BYTES + scale_bytes
