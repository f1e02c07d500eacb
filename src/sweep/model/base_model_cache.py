"""A cache of one loaded base, and the models of one trial after another on it."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sweep.config.schema import ModelConfig
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.data.prompt import Prompt, bind
from sweep.errors import UserError
from sweep.model.account import unwrapped
from sweep.model.adapter import attach
from sweep.model.architecture import read_config
from sweep.model.base import Base, BaseSpec, base_dtype, load, quantization
from sweep.model.checkpoint import Checkpoint
from sweep.model.features import FeatureCache
from sweep.model.label_words import WordScorer
from sweep.model.replica import replica
from sweep.model.source import find, fingerprint
from sweep.model.tokenizer import load_tokenizer
from sweep.model.weights import download, stored_dtype
from sweep.provenance import Fingerprint


class BaseModelCache:
    """Holds at most one base: a trial that needs another evicts it.

    A trial gets a replica that shares the base's frozen weights and owns the ones it trains, so
    that nothing a trial does reaches the next. With `full` every weight is owned, and on a GPU the
    untouched base waits on the CPU.
    """

    def __init__(self, device: str = "auto", *, features: Path | None = None, scratch: Path | None = None) -> None:
        """Choose the device and the folders.

        `device` is auto, cpu or cuda. `features` is the folder of the vectors that frozen bases
        compute; None keeps them in memory alone. `scratch` is the folder of temporary folders;
        None takes the system's. Raises UserError for cuda on a machine without a GPU.
        """
        self._scratch = scratch
        self.device = pick_device(device)
        self._tokenizers: dict[ModelConfig, PreTrainedTokenizerBase] = {}
        self._stored: dict[ModelConfig, str] = {}
        self._spec: BaseSpec | None = None
        self._base: Base | None = None
        self._fingerprint: str | None = None
        self.features = FeatureCache(features)

    def temporary_folder(self) -> tempfile.TemporaryDirectory[str]:
        """Return a folder that is deleted when its context ends."""
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="sweep-", dir=self._scratch)

    def tokenizer(self, model: ModelConfig) -> PreTrainedTokenizerBase:
        """Return the tokenizer of a model, with a pad token; the same object each time.

        Raises UserError if it cannot be loaded.
        """
        if model not in self._tokenizers:
            self._tokenizers[model] = load_tokenizer(model)
        return self._tokenizers[model]

    def prompt(self, settings: TrainSettings, labels: LabelSpace) -> Prompt | None:
        """Return the prompt with the ids of its label words, or None where a head classifies.

        Raises UserError where the tokenizer cannot tell the label words apart.
        """
        if settings.prompt is None:
            return None
        return bind(settings.prompt, labels, self.tokenizer(settings.model), max_length=settings.max_length)

    @contextmanager
    def model(self, settings: TrainSettings, labels: LabelSpace) -> Iterator[nn.Module]:
        """Yield a model to train, in eval mode: base, adapter and head.

        Adapter and head are drawn from `settings.trainer.seed` alone. With `settings.prompt` there
        is no head, and the logits are the scores of the label words. Gradient checkpointing is on
        if `settings.trainer` says so. The model must not be used after the context. Raises
        UserError if the weights cannot be reached or do not fit.
        """
        base = self._base_for(settings, labels)
        full = settings.adapter.trains == "everything"
        if full:
            _reclaim(self.device)
        _move(base.model, torch.device("cpu") if full else self.device)
        made = replica(base.model, None if full else base.head)
        _move(made, self.device)
        try:
            adapted, prompt = attach(Base(made, base.head, base.fresh), settings), self.prompt(settings, labels)
            yield adapted if prompt is None else WordScorer(adapted, unwrapped(adapted), prompt)
        finally:
            _empty(made)

    def spec(self, settings: TrainSettings, labels: LabelSpace) -> BaseSpec:
        """Return all that decides a trial's base: two trials with equal specs share one base."""
        return self._specify(settings, labels, download(find(settings.model)))

    def frozen(self, settings: TrainSettings, labels: LabelSpace) -> PreTrainedModel:
        """Return a copy of the base that shares all of its weights, in eval mode, frozen.

        The copy stays usable after the cache has evicted the base.
        """
        base = self._base_for(settings, labels)
        _move(base.model, self.device)
        made = replica(base.model, ())
        made.requires_grad_(False).train(False)
        return made

    @property
    def head(self) -> tuple[str, ...]:
        """Return the modules of the base in use that every adapter method trains in full."""
        assert self._base is not None, "a model of this cache is in use"
        return self._base.head

    def fingerprint(self) -> str:
        """Return the hash of all that decides the weights in memory of the base in use."""
        assert self._spec is not None, "a model of this cache is in use"
        if self._fingerprint is None:
            spec = self._spec
            parts = (spec.model, spec.dtype, spec.quantization, spec.pad_token_id)
            self._fingerprint = Fingerprint().add(repr(parts)).add(fingerprint(spec.model).fingerprint).hex()
        return self._fingerprint

    def _base_for(self, settings: TrainSettings, labels: LabelSpace) -> Base:
        checkpoint = download(find(settings.model))
        spec = self._specify(settings, labels, checkpoint)
        if self._base is None or self._spec != spec:
            self._evict()
            self._base, self._spec = load(spec, checkpoint, self.device), spec
        return self._base

    def _evict(self) -> None:
        if self._base is not None:
            _empty(self._base.model)
        self._base = self._spec = self._fingerprint = None
        _reclaim(self.device)

    def _specify(self, settings: TrainSettings, labels: LabelSpace, checkpoint: Checkpoint) -> BaseSpec:
        if settings.model not in self._stored:  # every trial asks
            self._stored[settings.model] = stored_dtype(read_config(settings.model, checkpoint), checkpoint)
        dtype = base_dtype(settings, self._stored[settings.model], self.device)
        pad = self.tokenizer(settings.model).pad_token_id
        causal = settings.prompt is not None
        return BaseSpec(settings.model, dtype, quantization(settings.adapter), labels, pad, causal)


def pick_device(name: str) -> torch.device:
    """Return the device that `name` (auto, cpu or cuda) stands for.

    Raises UserError for cuda where there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError.of("trainer.device", "is cuda, but torch sees no GPU here; it must be auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def _move(model: nn.Module, device: torch.device) -> None:
    if next(model.parameters()).device != device:
        model.to(device)


def _empty(model: nn.Module) -> None:
    """Free the weights now: collecting the modules' reference cycles takes a quarter second."""
    for weight in model.parameters():
        weight.grad = None
        weight.data = torch.empty(0, dtype=weight.dtype, device=weight.device)


def _reclaim(device: torch.device) -> None:
    """Free a GPU's memory of earlier trials: reference cycles keep optimizer states alive."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
