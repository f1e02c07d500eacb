"""Pooling: how the vectors of a row's tokens become the one vector that enters the head.

Each kind has a padded variant, for batches of the model's own shape, and a packed variant, for
rows that lie end to end.

`model.pooling` names a kind that is not the architecture's own choice. A forward hook, an instance
of `Pooling`, then sits on the headless model. It makes one vector of the last hidden states and
hands it to the head of the model's own class wherever such a head looks: as `pooler_output`
(BERT), and at every position of `last_hidden_state` (DistilBERT and RoBERTa read the first, GPT-2
and Llama the last that does not pad). Copies of a model keep the hook. Code that runs the headless
model and pools by itself finds the hook with `pooling_of`, or takes it off with `remove`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass(frozen=True, slots=True)
class PaddedStates:
    """The output of a headless model for a padded batch.

    `hidden` is (rows, tokens, width). `mask`, (rows, tokens), is not 0 where a token is real, on
    either side of the padding; None where all are. `ids` are the tokens, (rows, tokens), and `pad`
    the id that pads. `pooled` is the output of the model's own pooler, (rows, width), None where
    it has none.
    """

    hidden: Tensor
    mask: Tensor | None = None
    ids: Tensor | None = None
    pad: int | None = None
    pooled: Tensor | None = None


class RowIndex(Protocol):
    """The positions of rows that lie end to end."""

    @property
    def first(self) -> Tensor:
        """Return the position of each row's first token, (rows,)."""

    @property
    def last(self) -> Tensor:
        """Return the position of each row's last token, (rows,)."""

    def last_but(self, token: int | None) -> Tensor:
        """Return the position of each row's last token other than `token`, (rows,)."""

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over each row's tokens, (tokens, width) → (rows, width)."""


@dataclass(frozen=True, slots=True)
class PackedStates:
    """The output of a headless model for rows that lie end to end.

    `hidden` is (tokens, width), and `pad` the id that pads. `pooler` applies the model's own
    pooler to the first token of each row, (tokens, width) → (rows, width).
    """

    hidden: Tensor
    index: RowIndex
    pad: int | None
    pooler: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Pool:
    """One kind of pooling; both variants return (rows, width). `reads` returns the positions of
    the tokens that the packed variant reads, given the index and the id that pads; None where it
    reads all."""

    padded: Callable[[PaddedStates], Tensor]
    packed: Callable[[PackedStates], Tensor]
    reads: Callable[[RowIndex, int | None], Tensor] | None = None


def _real(states: PaddedStates) -> Tensor:
    if states.mask is None:
        return torch.ones(states.hidden.shape[:2], dtype=torch.bool, device=states.hidden.device)
    return states.mask.bool()


def _at(hidden: Tensor, positions: Tensor) -> Tensor:
    """Return the vectors of (rows, tokens, width) at one position a row, (rows, width)."""
    return hidden[torch.arange(len(hidden), device=hidden.device), positions]


def _pooler_padded(states: PaddedStates) -> Tensor:
    if states.pooled is None:
        raise AttributeError("pooler_output")
    return states.pooled


def _pooler_packed(states: PackedStates) -> Tensor:
    return states.pooler(states.hidden)


def _first_padded(states: PaddedStates) -> Tensor:
    return states.hidden[:, 0]


def _first_real_padded(states: PaddedStates) -> Tensor:
    return _at(states.hidden, _real(states).int().argmax(dim=1))


def _first_packed(states: PackedStates) -> Tensor:
    return states.hidden[states.index.first]


def _last_padded(states: PaddedStates) -> Tensor:
    tokens = torch.arange(states.hidden.shape[1], device=states.hidden.device)
    return _at(states.hidden, (_real(states) * tokens).argmax(dim=1))


def _last_packed(states: PackedStates) -> Tensor:
    return states.hidden[states.index.last]


def _last_unpadded_padded(states: PaddedStates) -> Tensor:
    assert states.ids is not None, "this kind goes by the tokens"
    tokens = torch.arange(states.hidden.shape[1], device=states.hidden.device)
    unpadded = states.ids != (-1 if states.pad is None else states.pad)
    return _at(states.hidden, (tokens * unpadded).argmax(dim=1))


def _last_unpadded_packed(states: PackedStates) -> Tensor:
    return states.hidden[states.index.last_but(states.pad)]


def _at_least_float32(hidden: Tensor) -> torch.dtype:
    return torch.promote_types(hidden.dtype, torch.float32)


def _mean_padded(states: PaddedStates) -> Tensor:
    return _masked_mean(states, _at_least_float32(states.hidden))


def _own_mean_padded(states: PaddedStates) -> Tensor:
    return _masked_mean(states, states.hidden.dtype)


def _masked_mean(states: PaddedStates, dtype: torch.dtype) -> Tensor:
    real = _real(states)
    total = states.hidden.masked_fill(~real.unsqueeze(-1), 0).sum(dim=1, dtype=dtype)
    return (total / real.sum(dim=1, keepdim=True).clamp(min=1)).to(states.hidden.dtype)


def _mean_packed(states: PackedStates) -> Tensor:
    hidden = states.hidden
    return states.index.mean(hidden.to(_at_least_float32(hidden))).to(hidden.dtype)


def _reads_first(index: RowIndex, _pad: int | None) -> Tensor:
    return index.first


# What model classes do by themselves. A pooler's comes first: where its vectors are a first
# token's, they are its own. The heads of causal models look for the last token by its id, since
# texts may end with the token that pads. A class that takes the mean sums in the type of its
# hidden states.
OWN: Mapping[str, Pool] = {
    "pooler": Pool(_pooler_padded, _pooler_packed, _reads_first),
    "first": Pool(_first_padded, _first_packed, _reads_first),
    "last": Pool(_last_unpadded_padded, _last_unpadded_packed, lambda index, pad: index.last_but(pad)),
    "mean": Pool(_own_mean_padded, _mean_packed),
}
# The kinds of `model.pooling`: `mean` is of the real tokens, summed in float32 at least; `cls` is
# the first of them, `last` the last.
BY_KIND: Mapping[PoolingKind, Pool] = {
    "pooler": OWN["pooler"],
    "cls": Pool(_first_real_padded, _first_packed, _reads_first),
    "last": Pool(_last_padded, _last_packed, lambda index, _pad: index.last),
    "mean": Pool(_mean_padded, _mean_packed),
}


@dataclass(frozen=True, slots=True)
class Pooling:
    """The forward hook that pools, to be registered with keyword arguments."""

    kind: PoolingKind

    def __call__(
        self, trunk: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: ModelOutput
    ) -> ModelOutput:
        """Return another output of the same class; the headless model's own stays as it is."""
        if not isinstance(output, ModelOutput):
            rule = f"is {self.kind}, but the code of {type(trunk).__name__} does not name what it gives to its head"
            raise UserError.of(KEY, rule)
        hidden: Tensor = output["last_hidden_state"]
        pooled = output["pooler_output"] if self.kind == "pooler" else None
        vector = BY_KIND[self.kind].padded(PaddedStates(hidden, _mask(trunk, args, kwargs), pooled=pooled))
        given = {"pooler_output": vector} if hasattr(output, "pooler_output") else {}
        everywhere = vector.unsqueeze(1).expand(-1, hidden.shape[1], -1)
        return type(output)(**{**output, "last_hidden_state": everywhere, **given})


def install(model: PreTrainedModel, kind: PoolingKind | None) -> None:
    """Register the hook on a classifier; None leaves the classifier as it is. A pooler that is not
    used any more is taken out, so that its weights are neither counted nor trained nor saved.

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
    """Return the hook of a model, None where its class pools in its own way."""
    hooks = model.get_submodule(body(model))._forward_hooks.values()
    return next((hook for hook in hooks if isinstance(hook, Pooling)), None)


def remove(model: PreTrainedModel) -> Pooling | None:
    """Take the hook off, so that the headless model gives its own hidden states. Return the hook,
    None where there is none."""
    trunk, found = model.get_submodule(body(model)), pooling_of(model)
    for key in [key for key, hook in trunk._forward_hooks.items() if hook is found]:
        del trunk._forward_hooks[key]
        trunk._forward_hooks_with_kwargs.pop(key, None)
    return found


def _mask(trunk: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    if _MASK in kwargs:
        return kwargs[_MASK]  # type: ignore[no-any-return]
    names = list(inspect.signature(trunk.forward).parameters)
    position = names.index(_MASK) if _MASK in names else len(args)
    return args[position] if position < len(args) else None


def _one(config: PreTrainedConfig) -> str:
    return "last" if causal(config) else "cls"
