"""Classification by label words: a causal language model scores the words of each label after a
prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from sweep.data.prompt import Prompt

PASS = 32  # sequences that share a forward pass where a smaller batch is scored for many labels


class WordScorer(nn.Module):
    """A causal language model, wrapped by PEFT or not, that returns the label scores of its
    prompts.

    A label's score is the log-probability of its words over the whole vocabulary, summed over
    their tokens, or their mean. Padding is behind the words, where causal attention never looks: a
    row has the same score in every batch, with any kind of position encoding.
    """

    def __init__(self, model: nn.Module, inner: PreTrainedModel, prompt: Prompt) -> None:
        """`inner` is the transformers model inside `model`, or `model` itself."""
        super().__init__()
        self.model = model
        self.prompt = prompt
        self.config = inner.config
        self.num_parameters = inner.num_parameters  # the Trainer reads it for its estimate of FLOPs
        self._output_layer: Callable[[], nn.Module] = inner.get_output_embeddings
        place, longest = inner.device, max(map(len, prompt.words))
        padded = [[*words, *[0] * (longest - len(words))] for words in prompt.words]
        self.register_buffer("words", torch.tensor(padded, device=place), persistent=False)
        self.register_buffer("counts", torch.tensor(list(map(len, prompt.words)), device=place), persistent=False)

    words: Tensor  # (labels, tokens), filled up with 0
    counts: Tensor  # (labels,) of tokens

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, answers: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Return the scores as `logits`, float32 of shape (rows, labels). With `answers`, a label
        number for each row, only those labels are scored, and the shape is (rows, 1)."""
        prompts, lengths = _flush_left(input_ids, attention_mask)
        if answers is not None:
            scores = self._score(prompts, lengths, answers).unsqueeze(1)
        elif self.words.shape[1] == 1:
            scores = self._score_all(prompts, lengths)
        else:
            scores = self._score_each(prompts, lengths)
        return SequenceClassifierOutput(logits=scores)

    def _score_all(self, prompts: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores (rows, labels) of labels with one token each: one position of the
        logits serves all labels."""
        rows = torch.arange(len(prompts), device=prompts.device)
        logits = self._logits(prompts, lengths, rows, lengths - 1)
        return logits.log_softmax(-1)[:, self.words[:, 0]]

    def _score_each(self, prompts: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores (rows, labels) of longer labels: each row runs once for each label, in
        passes of at most the batch size (or `PASS`)."""
        rows, labels = len(prompts), len(self.words)
        row = torch.arange(rows, device=prompts.device).repeat(labels)
        label = torch.arange(labels, device=prompts.device).repeat_interleave(rows)
        size = max(rows, PASS)
        parts = [
            self._score(prompts[some], lengths[some], which)
            for some, which in zip(torch.split(row, size), torch.split(label, size), strict=True)
        ]
        return torch.cat(parts).view(labels, rows).T

    def _score(self, prompts: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Return the score of one label for each prompt, (prompts,)."""
        counts = self.counts[labels]
        longest = int(counts.max())
        words, place = self.words[labels, :longest], torch.arange(longest, device=prompts.device)
        at = lengths[:, None] + place
        ids = functional.pad(prompts, (0, longest - 1)).scatter(1, at[:, :-1], words[:, :-1])
        row, step = (place < counts[:, None]).nonzero(as_tuple=True)
        logits = self._logits(ids, lengths + counts - 1, row, at[row, step] - 1)
        found = -functional.cross_entropy(logits, words[row, step], reduction="none")
        total = torch.zeros(len(prompts), device=found.device).index_add(0, row, found)
        return total / counts if self.prompt.mean else total

    def _logits(self, ids: Tensor, lengths: Tensor, row: Tensor, position: Tensor) -> Tensor:
        """Return the logits at the given positions only, float32 of shape (positions, vocabulary).
        All logits would take most of the memory, so the output layer gets the hidden states of
        these positions alone."""

        def pick(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return args[0][row, position].unsqueeze(0), *args[1:]

        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        handle = self._output_layer().register_forward_pre_hook(pick)
        try:
            logits: Tensor = self.model(input_ids=ids, attention_mask=mask.long()).logits
        finally:
            handle.remove()
        return logits.squeeze(0).float()


def _flush_left(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens of each row, moved to its beginning, and their number."""
    order = mask.argsort(dim=1, descending=True, stable=True)
    return ids.gather(1, order), mask.sum(1)
