"""The loss that is minimised and the loss that is reported, computed from the scores alone.

Left to the model's class, the loss would go wrong under gradient accumulation: transformers 5
takes a class that accepts any keyword to divide its loss by the number of items of the whole step,
which the sequence-classification heads do not do, so that the loss and its gradient come out
multiplied by `gradient_accumulation_steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sweep.config.schema import Task
from sweep.config.settings import TrainSettings

LossFunction = Callable[..., Tensor]
MeanLoss = Callable[[Tensor, Tensor], float]


def summed(task: Task, scores: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy summed over rows, or, for multi-label, binary cross-entropy summed
    over rows and labels.

    `scores` is (rows, labels); `labels` is (rows,), or for multi-label (rows, labels) of 0 and 1.
    Smoothing moves this part of each target to the even distribution over labels, or over yes and
    no.
    """
    if task == "single_label":
        return functional.cross_entropy(scores, labels, label_smoothing=smoothing, reduction="sum")
    targets = labels.to(scores.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(scores, targets, reduction="sum")


def summed_over_words(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the negative log-likelihood of the true labels' words, summed over rows. `scores` is
    (rows, labels), or (rows, 1) where the true label alone was scored. Unlike cross-entropy, it
    does not normalise over the labels: the scores are log-probabilities over the whole vocabulary
    already."""
    true = scores if scores.shape[1] == 1 else scores.gather(1, labels[:, None])
    return -true.sum()


def wide(scores: Tensor) -> Tensor:
    """Return the scores in float32, or wider if they are."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def training_loss(settings: TrainSettings) -> LossFunction:
    """Return a `compute_loss_func` for the Trainer: the mean over all rows of an optimizer step,
    however they are batched."""
    summed_loss = _summed_loss(settings, smoothing=settings.trainer.label_smoothing_factor)

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        items = labels.numel() if num_items_in_batch is None else num_items_in_batch
        return summed_loss(wide(outputs.logits), labels) / items

    return loss


def mean_loss(settings: TrainSettings) -> MeanLoss:
    """Return the mean loss over rows, in double precision and without smoothing, so that trials
    that smooth differently compare."""
    summed_loss = _summed_loss(settings, smoothing=0.0)
    return lambda scores, labels: float(summed_loss(scores.to(torch.float64), labels) / labels.numel())


def _summed_loss(settings: TrainSettings, *, smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    if settings.prompt is not None:
        return summed_over_words
    return partial(summed, settings.task, smoothing=smoothing)
