"""Collating: tokenised rows become a batch of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.config.schema import Task
from sweep.data.labels import LabelSpace

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase as Tokenizer

Batch = dict[str, "torch.Tensor"]


def collator(
    tokenizer: Tokenizer, labels: LabelSpace, *, answers: bool = False
) -> Callable[[Sequence[Mapping[str, Any]]], Batch]:
    """Return a data collator, which pads a batch to its longest row on the tokenizer's side.

    A batch has the tokenizer's own columns, int64 of shape (rows, tokens), and `labels`: int64 of
    shape (rows,), or for multi-label float32 of shape (rows, labels). With `answers` it has the
    labels under that name too: in training, a model of label words scores the words of these
    labels alone.
    """
    pad = padder(tokenizer)

    def collate(rows: Sequence[Mapping[str, Any]]) -> Batch:
        batch = pad(rows)
        batch["labels"] = label_tensor([row["labels"] for row in rows], labels.task)
        return {**batch, "answers": batch["labels"]} if answers else batch

    return collate


def padder(tokenizer: Tokenizer) -> Callable[[Sequence[Mapping[str, Any]]], Batch]:
    """Return a function that pads rows to the longest one, on the tokenizer's side.

    The batch has the tokenizer's own columns, int64 of shape (rows, tokens).
    """
    from transformers.data.data_collator import pad_without_fast_tokenizer_warning as padded

    inputs = frozenset(tokenizer.model_input_names)

    def pad(rows: Sequence[Mapping[str, Any]]) -> Batch:
        tokens = [{name: row[name] for name in row if name in inputs} for row in rows]
        return dict(padded(tokenizer, tokens, padding=True, return_tensors="pt"))  # type: ignore[no-untyped-call]

    return pad


def label_tensor(labels: Sequence[Any], task: Task) -> torch.Tensor:
    """Return the labels of tokenised rows as a tensor: int64, or float32 for multi-label."""
    import torch

    return torch.tensor(labels, dtype=torch.long if task == "single_label" else torch.float32)
