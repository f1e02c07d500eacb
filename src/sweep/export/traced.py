"""Classifiers as PyTorch's ONNX exporter can trace them: from token ids to logits, without a step
that depends on values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sweep.model.account import unwrapped, without_words
from sweep.model.label_words import WordScorer


def traceable(model: nn.Module, names: tuple[str, ...]) -> nn.Module:
    """Return a module that takes the inputs called `names` in this order, each int64 of shape
    (rows, tokens), and returns the logits, float32 of shape (rows, labels).

    Rows are padded on the right where label words are scored.
    """
    made = WordLogits(model) if isinstance(model, WordScorer) else HeadLogits(model, names)
    return made.requires_grad_(False).eval()


def calibrated(logits: nn.Module, temperature: float | None) -> nn.Module:
    """Return a module that divides the logits of another one by a temperature; the other one
    itself without a temperature."""
    return logits if temperature is None else CalibratedLogits(logits, temperature).eval()


class CalibratedLogits(nn.Module):
    """The logits of another module, divided by a temperature."""

    def __init__(self, made: nn.Module, temperature: float) -> None:
        super().__init__()
        self.made, self.temperature = made, temperature

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.made(*inputs)
        return logits / self.temperature


class HeadLogits(nn.Module):
    """The logits of a classification head."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


class WordLogits(nn.Module):
    """The scores of `WordScorer`, with one pass for all rows and labels."""

    def __init__(self, scorer: WordScorer) -> None:
        super().__init__()
        self.model, self.mean = without_words(scorer), scorer.prompt.mean
        self.register_buffer("words", scorer.words.clone())
        self.register_buffer("counts", scorer.counts.clone())
        self._at: Tensor | None = None
        unwrapped(scorer).get_output_embeddings().register_forward_pre_hook(self._pick)  # type: ignore[no-untyped-call]

    words: Tensor  # (labels, tokens), filled up with 0
    counts: Tensor  # (labels,) of tokens

    def forward(self, *inputs: Tensor) -> Tensor:
        input_ids, attention_mask = inputs
        lengths = attention_mask.sum(1)
        if self.words.shape[1] == 1:  # one position serves all labels
            scores = self._log_probabilities(input_ids, attention_mask, (lengths - 1)[:, None])
            return scores[:, 0].index_select(1, self.words[:, 0])
        return self._longer(input_ids, lengths)

    def _longer(self, prompts: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores (rows, labels) of labels with several tokens: each row runs once for
        each label, in the same batch."""
        rows, (labels, longest) = prompts.shape[0], self.words.shape
        steps = torch.arange(longest)
        at = lengths[:, None] + steps  # (rows, longest): the places of the words
        ids = functional.pad(prompts, (0, longest - 1))[:, None].expand(-1, labels, -1)
        words = self.words[None].expand(rows, -1, -1)
        ids = ids.scatter(2, at[:, None, :-1].expand(-1, labels, -1), words[:, :, :-1])
        mask = torch.arange(ids.shape[-1]) < (lengths[:, None] + self.counts - 1)[:, :, None]
        places = (at - 1)[:, None].expand(-1, labels, -1)
        found = self._log_probabilities(ids.flatten(0, 1), mask.long().flatten(0, 1), places.flatten(0, 1))
        scores = found.gather(2, words.flatten(0, 1)[:, :, None]).view(rows, labels, longest)
        total: Tensor = (scores * (steps < self.counts[:, None])).sum(2)
        return total / self.counts if self.mean else total

    def _log_probabilities(self, ids: Tensor, mask: Tensor, at: Tensor) -> Tensor:
        """Return the log-probabilities of the vocabulary behind the tokens at `at`, (rows,
        places), as (rows, places, vocabulary)."""
        self._at = at
        logits: Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        return logits.float().log_softmax(-1)

    def _pick(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the inputs of the output layer with the hidden states of the places alone."""
        assert self._at is not None, "set before each pass"
        hidden: Tensor = args[0]
        return hidden.gather(1, self._at[:, :, None].expand(-1, -1, hidden.shape[-1])), *args[1:]
