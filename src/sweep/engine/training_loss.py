"""The loss that a trial is trained with: the plain one, or one that weighs labels or rows
(`trainer.class_weights`, `trainer.focal_gamma`, `trainer.logit_adjustment_tau`). All engines use
it.

Left to the model's class, the loss would go wrong under gradient accumulation: transformers 5
takes a class that accepts any keyword to divide its loss by the number of items of the whole step,
which the sequence-classification heads do not do, so that the loss and its gradient come out
multiplied by `gradient_accumulation_steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sweep.config.schema import Task
from sweep.config.settings import TrainSettings
from sweep.data.class_weights import class_weights, log_priors
from sweep.data.collate import label_tensor
from sweep.data.labels import LabelSpace
from sweep.engine.loss import summed, summed_over_words, wide

LossFunction = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class TrainingLoss:
    """The loss that a trial is trained with.

    `weights` are those of the labels, (labels,), and `shift` is added to the scores, (labels,);
    None leaves them out. `gamma` is that of the focal loss. With `words` the scores are
    log-probabilities of label words.
    """

    task: Task
    words: bool = False
    smoothing: float = 0.0
    gamma: float = 0.0
    weights: Tensor | None = None
    shift: Tensor | None = None

    @classmethod
    def of(cls, settings: TrainSettings, rows: Any, labels: LabelSpace, device: torch.device) -> TrainingLoss:
        """Return the loss of a trial. `rows` is the tokenised dataset that it trains on, whose
        labels are counted where the loss depends on them."""
        trainer = settings.trainer
        loss = cls(settings.task, settings.prompt is not None, trainer.label_smoothing_factor, trainer.focal_gamma)
        if trainer.class_weights == "none" and trainer.logit_adjustment_tau == 0:
            return loss
        counts, total = _counts(rows, labels)
        weights = class_weights(labels.task, trainer.class_weights, counts, total)
        shift = [trainer.logit_adjustment_tau * prior for prior in log_priors(labels.task, counts, total)]
        return replace(
            loss,
            weights=None if weights is None else torch.tensor(weights, device=device),
            shift=torch.tensor(shift, device=device) if any(shift) else None,
        )

    def summed(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss summed over rows, and for multi-label over labels; shapes are those of
        `summed`. Divided by the number of labels of an optimizer step it is that step's loss,
        however the step is batched.

        A single-label row weighs as its label does, and smoothing as in
        `torch.nn.CrossEntropyLoss(weight, label_smoothing)`; for multi-label the weights are the
        `pos_weight` of `torch.nn.BCEWithLogitsLoss`. The focal loss is that of Lin et al. 2017,
        the logit adjustment that of Menon et al. 2021, equation 10.
        """
        if self.words:
            return summed_over_words(scores, labels, self.weights)
        adjusted = scores if self.shift is None else scores + self.shift.to(scores.dtype)
        if self.gamma > 0:
            focal = _focal if self.task == "single_label" else _focal_by_label
            return focal(adjusted, labels, self.gamma, self.smoothing, self.weights)
        return summed(self.task, adjusted, labels, smoothing=self.smoothing, weights=self.weights)


def training_loss(loss: TrainingLoss) -> LossFunction:
    """Return a `compute_loss_func` for the Trainer: the mean over all rows of an optimizer step,
    however they are batched."""

    def mean(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        items = labels.numel() if num_items_in_batch is None else num_items_in_batch
        return loss.summed(wide(outputs.logits), labels) / items

    return mean


def _counts(rows: Any, labels: LabelSpace) -> tuple[list[int], int]:
    """Return the number of rows of each label, and of all rows."""
    found = label_tensor(rows["labels"][:], labels.task)
    if labels.task == "single_label":
        return torch.bincount(found, minlength=len(labels)).tolist(), len(found)
    return found.sum(0).long().tolist(), len(found)


def _focal(scores: Tensor, labels: Tensor, gamma: float, smoothing: float, weights: Tensor | None) -> Tensor:
    """Return the cross-entropy of which each label's part is multiplied by (1 − p) to the power of
    `gamma`, where p is the label's probability."""
    logs = functional.log_softmax(scores, dim=1)
    spread = smoothing / logs.shape[1]
    targets = torch.full_like(logs, spread).scatter(1, labels[:, None], 1 - smoothing + spread)
    # Where p is 1 the power has no finite slope for a gamma below 1.
    factor = (-torch.expm1(logs)).clamp(min=torch.finfo(logs.dtype).tiny) ** gamma
    own = targets * factor * logs
    return -(own if weights is None else own * weights.to(own.dtype)).sum()


def _focal_by_label(scores: Tensor, labels: Tensor, gamma: float, smoothing: float, weights: Tensor | None) -> Tensor:
    """Return the binary cross-entropy of which both parts are multiplied by the other answer's
    probability to the power of `gamma`."""
    targets = labels.to(scores.dtype) * (1 - smoothing) + smoothing / 2
    yes, no = -functional.logsigmoid(scores), -functional.logsigmoid(-scores)
    applying = targets * torch.exp(-gamma * no) * yes
    others = (1 - targets) * torch.exp(-gamma * yes) * no
    return ((applying if weights is None else applying * weights.to(scores.dtype)) + others).sum()
