"""The logits of validation rows, as the study computes them and in float32."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.prompt import Prompt, bind
from sweep.data.splits import Rows
from sweep.data.tokenise import tokenise
from sweep.engine.arguments import autocast
from sweep.engine.evaluation import predict
from sweep.engine.loss import mean_loss
from sweep.engine.metrics import Scores
from sweep.engine.temperature import scaled
from sweep.model.account import unwrapped
from sweep.model.label_words import WordScorer
from sweep.model.manifest import Manifest
from sweep.records.winner import Winner


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores rows as an evaluation of the study does. `settings` are those of the winner. Logits
    are divided by the winner's temperature where it was calibrated."""

    settings: TrainSettings
    manifest: Manifest
    tokenizer: PreTrainedTokenizerBase
    rows: Rows

    @classmethod
    def of(cls, winner: Winner, manifest: Manifest, tokenizer: PreTrainedTokenizerBase, rows: Rows) -> Scorer:
        return cls(TrainSettings.of(winner.record.config), manifest, tokenizer, rows)

    def study(self, model: nn.Module) -> Scores:
        """Return the logits, (rows, labels), under the autocast of the winner's training."""
        with autocast(self.settings.trainer, unwrapped(model).device):
            return self.plain(model)

    def plain(self, model: nn.Module) -> Scores:
        """Return the logits, (rows, labels), in the types of the model's own weights."""
        return scaled(self._uncalibrated(model), self.manifest.temperature)

    def _uncalibrated(self, model: nn.Module) -> Scores:
        labels, prompt = self.manifest.labels, prompt_of(model)
        with tempfile.TemporaryDirectory(prefix="sweep-") as cache:
            tokens = tokenise(
                self.rows, self.tokenizer, labels=labels, max_length=self.manifest.max_length, cache=Path(cache),
                prompt=prompt,
            )  # fmt: skip
            return predict(
                model, tokens, collate=collator(self.tokenizer, labels), loss=mean_loss(self.settings),
                batch_size=self.settings.trainer.per_device_eval_batch_size,
            ).scores  # fmt: skip


def prompted(model: nn.Module, manifest: Manifest, tokenizer: PreTrainedTokenizerBase) -> nn.Module:
    """Return a model that scores the label words of the winner's prompt; the model itself where a
    head classifies."""
    if manifest.prompt is None:
        return model
    prompt = bind(manifest.prompt, manifest.labels, tokenizer, max_length=manifest.max_length)
    return WordScorer(model, unwrapped(model), prompt)


def prompt_of(model: nn.Module) -> Prompt | None:
    """Return the prompt of a model that scores label words; None of one with a head."""
    return model.prompt if isinstance(model, WordScorer) else None


def precision(settings: TrainSettings, manifest: Manifest) -> str:
    """Return the coarsest type in which the study computed: of its autocast, its 4-bit layers or
    its weights."""
    found: list[str] = [manifest.base.dtype]
    if manifest.quantization is not None:
        found.append(manifest.quantization.compute_dtype)
    if settings.trainer.autocast_type is not None:
        found.append(settings.trainer.autocast_type)
    return max(found, key=lambda name: torch.finfo(getattr(torch, name)).eps)
