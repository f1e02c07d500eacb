"""What enters the head of a frozen base, computed once for each row, and the head alone on top of it.

A trial that trains the head alone puts every row through the same frozen layers at every epoch. Here they are replaced,
in a shallow copy of the model, by a stand-in that gives back one vector a row; the head's classes run unchanged.
"""

from __future__ import annotations

import copy
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from sweep.model.account import trained_head
from sweep.model.architecture import body
from sweep.model.pooling import pooled, pooling_of
from sweep.records import cache_files

logger = logging.getLogger(__name__)

_STATES = "states"
_SUFFIX = ".safetensors"
_TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 2e-3}
_FINEST = 1e-5

Batch = Mapping[str, Tensor]
Pool = Callable[[Any, Batch, int | None], Tensor]


class NotPackable(Exception):
    """The head reads more of the base than one vector a row, or reads it in a way that is not known here."""


class HeadModel(nn.Module):
    """The classifier of `model` with its own trained modules, over vectors instead of tokens."""

    def __init__(self, model: PreTrainedModel, head: Collection[str] | None = None) -> None:
        """`head` are the modules that start anew or are trained beside an adapter. None takes those that are trained,
        which tells nothing where everything is. Raises Unsuited if more than a pooler is inside the headless model."""
        super().__init__()
        name, parts = body(model), trained_head(model) if head is None else head
        inside = [part.removeprefix(f"{name}.") for part in parts if part.startswith(f"{name}.")]
        if len(inside) > 1 or any("." in part for part in inside):
            raise NotPackable(f"{', '.join(inside)} of {name} are trained")
        trunk = model.get_submodule(name)
        self._stand_in = _StandIn({part: trunk.get_submodule(part) for part in inside})
        self.classifier = copy.copy(model)
        self.classifier._modules = {**model._modules, name: self._stand_in}
        self.classifier._forward_pre_hooks = OrderedDict()  # they tend to the base
        self._token = 0 if model.config.get_text_config().pad_token_id else 1  # any that does not pad

    def forward(self, states: Tensor) -> Tensor:
        """(rows, width) → logits, (rows, labels)."""
        self._stand_in.states = states
        tokens = torch.full((len(states), 1), self._token, device=states.device)
        logits: Tensor = self.classifier(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        return logits


class _StandIn(nn.Module):
    """Answers as the headless model would, had every row a single token."""

    states: Tensor

    def __init__(self, trained: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, module in trained.items():
            self.add_module(name, module)

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
        hidden, pooled = self.states[:, None], self.states
        for pooler in self.children():
            pooled = pooler(hidden)
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=hidden, pooler_output=pooled)


def states(model: PreTrainedModel, batches: Iterable[Batch], head: Collection[str] | None = None) -> Iterator[Tensor]:
    """For each batch of inputs on the model's device, the vectors that enter its head, (rows, width); `head` is as for
    `HeadModel`.

    How the head pools is found out on the first batch, by comparing logits, and checked on every other one; a hook of
    `sweep.model.pooling` says it. Of several the one that came closest on all batches is taken. Raises Unsuited where
    no known pooling gives the model's own logits.
    """
    top, pad = HeadModel(model, head).eval(), model.config.get_text_config().pad_token_id
    known = _candidates(model)
    apart = dict.fromkeys(known, 0.0)
    with _outputs_of(model.get_submodule(body(model))) as seen, torch.no_grad():
        model.train(False)
        for batch in batches:
            logits = model(**batch).logits
            found = {name: _apart(top, known[name], seen[-1], batch, pad, logits) for name in apart}
            apart = {name: max(apart[name], far) for name, far in found.items() if far <= 1}
            if not apart:
                raise NotPackable(f"the head of {type(model).__name__} reads more of the base than one vector a row")
            yield known[min(apart, key=apart.__getitem__)](seen[-1], batch, pad)
            seen.clear()


def _candidates(model: PreTrainedModel) -> dict[str, Pool]:
    hook = pooling_of(model)
    if hook is None or hook.kind == "pooler":
        return dict(_POOLINGS)
    return {hook.kind: lambda output, batch, _pad: pooled(output[0], batch["attention_mask"], hook.kind).detach()}


@contextmanager
def _outputs_of(module: nn.Module) -> Iterator[list[Any]]:
    """Before any hook pools them."""
    seen: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output), prepend=True)
    try:
        yield seen
    finally:
        handle.remove()


def _apart(head: HeadModel, pool: Pool, output: Any, batch: Batch, pad: int | None, logits: Tensor) -> float:
    """How far from the model's own the logits are, in what rounding may do. Rows whose logits are all alike, as those of
    a head that starts at zero, would agree with anything, and count for nothing."""
    try:
        found = head(pool(output, batch, pad))
    except (AttributeError, TypeError, ValueError, IndexError, KeyError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return math.inf
    if found.shape != logits.shape or (len(logits) > 1 and bool((logits == logits[0]).all())):
        return math.inf
    dtype = output[0].dtype
    slack = max(_TOLERANCE.get(kind, _FINEST) for kind in (dtype, logits.dtype)) * max(float(logits.abs().max()), 1.0)
    far = float((found.float() - logits.float()).abs().max())
    return far / slack if math.isfinite(far) else math.inf


def _pooler(output: Any, _batch: Batch, _pad: int | None) -> Tensor:
    pooled = output.pooler_output
    if pooled is None:
        raise AttributeError("pooler_output")
    return _tensor(pooled)


def _first(output: Any, _batch: Batch, _pad: int | None) -> Tensor:
    return _tensor(output[0][:, 0])


def _last(output: Any, batch: Batch, pad: int | None) -> Tensor:
    """Of the last token that does not pad, by its number, as the heads of causal models look for it."""
    tokens = batch["input_ids"]
    places = torch.arange(tokens.shape[1], device=tokens.device)
    last = (places * (tokens != (-1 if pad is None else pad))).argmax(dim=1)
    return _tensor(output[0][torch.arange(len(tokens), device=tokens.device), last])


def _mean(output: Any, batch: Batch, _pad: int | None) -> Tensor:
    mask = batch["attention_mask"].unsqueeze(-1)
    return _tensor((output[0] * mask).sum(dim=1) / mask.sum(dim=1))


def _tensor(value: Tensor) -> Tensor:
    return value.detach().clone()


_POOLINGS: dict[str, Pool] = {"pooler": _pooler, "first": _first, "last": _last, "mean": _mean}


@dataclass(slots=True)
class FeatureCache:
    """Vectors of whole splits, in memory for the base in use and, where `folder` is given, on disk for later runs."""

    folder: Path | None = None
    _base: str = ""
    _held: dict[str, Tensor] = field(default_factory=dict)
    _unsuited: dict[str, str] = field(default_factory=dict)

    def get(self, base: str, rows: str, count: int, device: torch.device, compute: Callable[[], Tensor]) -> Tensor:
        """(count, width) on `device`. `base` and `rows` fingerprint all that the vectors depend on; `compute` is called
        where they are neither in memory nor on disk, and what it raises is raised; Unsuited is remembered. A folder that
        takes no file costs later runs time, and this one nothing."""
        if base in self._unsuited:
            raise NotPackable(self._unsuited[base])
        key = f"{base}-{rows}"
        return self._remembered(base, key, lambda: self._stored(key, count, compute, base).to(device))

    def derived(self, base: str, rows: str, what: str, compute: Callable[[], Tensor]) -> Tensor:
        """`what` is made of vectors that the cache holds, and of all else that it names; kept in memory alone."""
        return self._remembered(base, f"{base}-{rows}-{what}", compute)

    def _remembered(self, base: str, key: str, compute: Callable[[], Tensor]) -> Tensor:
        if base != self._base:
            self._held.clear()
            self._base = base
        if key not in self._held:
            self._held[key] = compute()
        return self._held[key]

    def _stored(self, key: str, count: int, compute: Callable[[], Tensor], base: str) -> Tensor:
        if self.folder is not None and (known := _read(self.folder, key, count)) is not None:
            return known
        try:
            found = compute()
        except NotPackable as error:
            self._unsuited[base] = str(error)
            raise
        if self.folder is not None:
            try:
                cache_files.keep(self.folder, key, _SUFFIX, partial(_write, found))
            except (OSError, SafetensorError) as error:
                logger.warning(
                    f"{self.folder}: the features of a frozen base could not be kept for later runs: {error}"
                )
        return found


def _read(folder: Path, key: str, count: int) -> Tensor | None:
    """None where there is no file of `count` rows, or a damaged one."""
    file = cache_files.find(folder, key, _SUFFIX)
    if file is None:
        return None
    try:
        found = load_file(file)[_STATES]  # memory-mapped
    except (OSError, SafetensorError, KeyError):
        return None
    return found if found.ndim == 2 and len(found) == count else None


def _write(found: Tensor, file: Path) -> None:
    save_file({_STATES: found.cpu().contiguous()}, file)
