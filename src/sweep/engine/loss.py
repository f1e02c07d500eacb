"""The plain loss, computed from the scores alone, and the loss that is reported. A trial may be
trained with another one (`sweep.engine.training_loss`); what is reported is always the plain one,
so that trials compare."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from sweep.config.schema import Task
from sweep.config.settings import TrainSettings

MeanLoss = Callable[[Tensor, Tensor], float]


def summed(
    task: Task, scores: Tensor, labels: Tensor, *, smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy summed over rows, or, for multi-label, binary cross-entropy summed
    over rows and labels.

    `scores` is (rows, labels); `labels` is (rows,), or for multi-label (rows, labels) of 0 and 1.
    Smoothing moves this part of each target to the even distribution over labels, or over yes and
    no. `weights` are those of the labels, (labels,): of their rows, or for multi-label of the rows
    that have them.
    """
    own = None if weights is None else weights.to(scores.dtype)
    if task == "single_label":
        return functional.cross_entropy(scores, labels, weight=own, label_smoothing=smoothing, reduction="sum")
    targets = labels.to(scores.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(scores, targets, pos_weight=own, reduction="sum")


def summed_over_words(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the negative log-likelihood of the true labels' words, summed over rows; `weights`
    are those of the labels, (labels,). `scores` is (rows, labels), or (rows, 1) where the true
    label alone was scored. Unlike cross-entropy, it does not normalise over the labels: the scores
    are log-probabilities over the whole vocabulary already."""
    true = scores if scores.shape[1] == 1 else scores.gather(1, labels[:, None])
    return -(true if weights is None else true * weights.to(true.dtype)[labels][:, None]).sum()


def wide(scores: Tensor) -> Tensor:
    """Return the scores in float32, or wider if they are."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def mean_loss(settings: TrainSettings) -> MeanLoss:
    """Return the mean loss over rows, in double precision, without smoothing, weights or any other
    part of a trial's own loss, so that trials that train with different losses compare."""
    summed_loss = summed_over_words if settings.prompt is not None else partial(summed, settings.task)
    return lambda scores, labels: float(summed_loss(scores.to(torch.float64), labels) / labels.numel())
