"""The vectors that enter the head of a frozen base, computed once for each row, and the head alone
on top of them.

A trial that trains the head alone puts every row through the same frozen layers at every epoch.
Here they are replaced, in a shallow copy of the model, by a stand-in that gives back one vector a
row; the head's classes run unchanged.
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
from sweep.model.pooling import BY_KIND, OWN, PaddedStates, Pool, pooling_of
from sweep.records import cache_files

logger = logging.getLogger(__name__)

_STATES = "states"
_SUFFIX = ".safetensors"
_TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 2e-3}
_FINEST = 1e-5

Batch = Mapping[str, Tensor]


class NotPackable(Exception):
    """The head reads more of the base than one vector a row, or reads it in a way that is not
    known here."""


class HeadModel(nn.Module):
    """The classifier of `model` with its own trained modules, over vectors instead of tokens."""

    def __init__(self, model: PreTrainedModel, head: Collection[str] | None = None) -> None:
        """`head` are the modules that start anew or are trained beside an adapter. None takes
        those that are trained, which is of no use where everything is trained. Raises NotPackable
        if more than a pooler is trained inside the headless model."""
        super().__init__()
        name, parts = body(model), trained_head(model) if head is None else head
        inside = [part.removeprefix(f"{name}.") for part in parts if part.startswith(f"{name}.")]
        if len(inside) > 1 or any("." in part for part in inside):
            raise NotPackable(f"{', '.join(inside)} of {name} are trained")
        trunk = model.get_submodule(name)
        self._stand_in = _StandIn({part: trunk.get_submodule(part) for part in inside})
        self.classifier = copy.copy(model)
        self.classifier._modules = {**model._modules, name: self._stand_in}
        self.classifier._forward_pre_hooks = OrderedDict()  # the hooks are for the base
        self._token = 0 if model.config.get_text_config().pad_token_id else 1  # any id that is not the pad token's

    def forward(self, states: Tensor) -> Tensor:
        """Return the logits, (rows, labels), of vectors (rows, width)."""
        self._stand_in.states = states
        tokens = torch.full((len(states), 1), self._token, device=states.device)
        logits: Tensor = self.classifier(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        return logits


class _StandIn(nn.Module):
    """A stand-in for the headless model whose rows have a single token each."""

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
    """Yield the vectors that enter the head, (rows, width), for each batch of inputs on the
    model's device.

    `head` is as for `HeadModel`. The kind of pooling is found on the first batch by comparing
    logits, and checked on every other batch; a hook of `sweep.model.pooling` names it. If several
    kinds fit, the one that came closest on all batches is taken. Raises NotPackable where no known
    pooling gives the model's own logits, and after the last batch where no batch had two different
    logits: those of a head that starts at zero agree with any pooling.
    """
    top, pad = HeadModel(model, head).eval(), model.config.get_text_config().pad_token_id
    known, told_apart = _candidates(model), False
    apart = dict.fromkeys(known, 0.0)
    with _outputs_of(model.get_submodule(body(model))) as seen, torch.no_grad():
        model.train(False)
        for batch in batches:
            logits = model(**batch).logits
            found = {name: _apart(top, known[name], seen[-1], batch, pad, logits) for name in apart}
            apart = {name: max(apart[name], far) for name, far in found.items() if far <= 1}
            if not apart:
                raise NotPackable(f"the head of {type(model).__name__} reads more of the base than one vector a row")
            told_apart = told_apart or len(logits) == 1 or bool((logits != logits[0]).any())
            yield _pooled(known[min(apart, key=apart.__getitem__)], seen[-1], batch, pad)
            seen.clear()
    if not told_apart:
        raise NotPackable(f"{type(model).__name__} gives all rows the same logits, which tell nothing of its pooling")


def _candidates(model: PreTrainedModel) -> Mapping[str, Pool]:
    hook = pooling_of(model)
    return OWN if hook is None or hook.kind == "pooler" else {hook.kind: BY_KIND[hook.kind]}


@contextmanager
def _outputs_of(module: nn.Module) -> Iterator[list[Any]]:
    """Collect the outputs of a module, before any hook pools them."""
    seen: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output), prepend=True)
    try:
        yield seen
    finally:
        handle.remove()


def _apart(head: HeadModel, pool: Pool, output: Any, batch: Batch, pad: int | None, logits: Tensor) -> float:
    """Return the distance from the model's own logits, in units of the rounding that is
    allowed."""
    try:
        found = head(_pooled(pool, output, batch, pad))
    except (AttributeError, TypeError, ValueError, IndexError, KeyError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return math.inf
    if found.shape != logits.shape:
        return math.inf
    dtype = output[0].dtype
    slack = max(_TOLERANCE.get(kind, _FINEST) for kind in (dtype, logits.dtype)) * max(float(logits.abs().max()), 1.0)
    far = float((found.float() - logits.float()).abs().max())
    return far / slack if math.isfinite(far) else math.inf


def _pooled(pool: Pool, output: Any, batch: Batch, pad: int | None) -> Tensor:
    """Return the vectors of a batch, (rows, width), as a copy."""
    padded = PaddedStates(
        output[0], batch.get("attention_mask"), batch.get("input_ids"), pad, getattr(output, "pooler_output", None)
    )
    return pool.padded(padded).detach().clone()


@dataclass(slots=True)
class FeatureCache:
    """The vectors of whole splits, in memory for the base in use and, where `folder` is given, on
    disk for later runs."""

    folder: Path | None = None
    _base: str = ""
    _held: dict[str, Tensor] = field(default_factory=dict)
    _not_packable: dict[str, str] = field(default_factory=dict)

    def get(self, base: str, rows: str, count: int, device: torch.device, compute: Callable[[], Tensor]) -> Tensor:
        """Return the vectors, (count, width), on `device`. `base` and `rows` fingerprint all that
        they depend on. `compute` is called where they are neither in memory nor on disk; its
        errors are raised, and NotPackable is remembered. A folder that cannot be written to costs
        later runs time, and this one nothing."""
        if base in self._not_packable:
            raise NotPackable(self._not_packable[base])
        key = f"{base}-{rows}"
        return self._remembered(base, key, lambda: self._stored(key, count, compute, base).to(device))

    def derived(self, base: str, rows: str, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return what `compute` makes of vectors that the cache holds; kept in memory alone.
        `name` tells all else that it depends on."""
        return self._remembered(base, f"{base}-{rows}-{name}", compute)

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
            self._not_packable[base] = str(error)
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
    """Return the stored vectors; None where there is no file of `count` rows, or a damaged one."""
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
