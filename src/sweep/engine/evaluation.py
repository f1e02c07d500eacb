"""A model's scores on a dataset, and their metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweep.config.custom_metrics import own_values
from sweep.config.extra_metrics import is_extra
from sweep.config.metrics import BY_TASK, short_name
from sweep.config.schema import Task
from sweep.engine.extra_metrics import Evaluated, extra_values
from sweep.engine.loss import MeanLoss, wide
from sweep.engine.metrics import Labels, Scores, decide, probabilities, score

UNHEARD = 1.0  # seconds without a verdict, after which a trial in a long step or evaluation asks for one

Collator = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Predictions:
    """The scores of a model on a dataset. `scores` are logits, or log-probabilities of label
    words; `loss` is the mean over rows; `seconds` is wall time. Rows are in the dataset's order.
    """

    scores: Scores
    labels: Labels
    loss: float
    seconds: float

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.loss) and np.isfinite(self.scores).all())


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of an evaluation, by names such as `eval/f1_macro`.

    `failed` says of each metric of the user's own that could not be computed, why; its value is
    NaN.
    """

    values: dict[str, float]
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def computed(self) -> dict[str, float]:
        """Return the metrics that could be computed."""
        return {name: value for name, value in self.values.items() if name not in self.failed}


def predict(
    model: nn.Module,
    dataset: Any,
    *,
    collate: Collator,
    batch_size: int,
    loss: MeanLoss,
    check_stop: Callable[[], None] = lambda: None,
) -> Predictions:
    """Return the scores of every row of a tokenised dataset. No global random number is drawn, so
    that training is not disturbed.

    Batches hold rows of like length, the longest first: less padding, and too little memory shows
    at once. `check_stop` is called after each batch, and what it raises is raised.
    """
    started = time.perf_counter()
    device = next(model.parameters()).device
    order = np.argsort(-np.asarray(dataset["length"][:]), kind="stable")
    model.eval()
    parts = []
    for batch in _batches(dataset, order, collate, batch_size):
        parts.append(_forward(model, batch, device))
        check_stop()
    scores = wide(torch.cat([part[0] for part in parts])).cpu()
    labels = torch.cat([part[1] for part in parts])
    back = torch.from_numpy(np.argsort(order))
    return judged(scores[back], labels[back], loss=loss, started=started)


def judged(scores: Tensor, labels: Tensor, *, loss: MeanLoss, started: float) -> Predictions:
    """Return the predictions with their loss. `scores` and `labels` are on the CPU; `started` is
    when the evaluation began, by `time.perf_counter`."""
    return Predictions(
        scores=scores.numpy(),
        labels=labels.numpy().astype(np.int64),
        loss=loss(scores, labels),
        seconds=time.perf_counter() - started,
    )


def measure(
    task: Task,
    predictions: Predictions,
    prefix: str,
    thresholds: float | Sequence[float] = 0.5,
    *,
    own: Sequence[str],
    labels: Sequence[str] = (),
) -> Measured:
    """Return every metric of the task, the loss with them, named `prefix/…` in the order of
    `sweep.config.metrics`, and then those of `own`: extra metrics, and dotted paths of the user's.

    `thresholds` are for multi-label: one for all labels, or one each. `labels` are the names of
    the labels, for the metrics of one label. Each metric is computed once.
    """
    truth = predictions.labels
    decided = decide(task, predictions.scores, thresholds)
    measured = {"loss": predictions.loss, **score(task, decided, truth)}
    found, failed = {name: measured[name] for name in BY_TASK[task]}, dict[str, str]()
    if own:
        chances = probabilities(task, predictions.scores)
        extra = extra_values([name for name in own if is_extra(name)], Evaluated(task, labels, truth, decided, chances))
        custom = own_values([path for path in own if not is_extra(path)], truth, decided, chances)
        values = {**extra, **custom.values}
        found |= {name: values.get(name, math.nan) for name in map(short_name, own)}
        failed = {f"{prefix}/{name}": str(error) for name, error in custom.errors.items()}
    return Measured({f"{prefix}/{name}": value for name, value in found.items()}, failed)


def _batches(dataset: Any, order: Any, collate: Collator, size: int) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(order), size):
        yield dict(collate(dataset.__getitems__(order[start : start + size].tolist())))


def _forward(model: nn.Module, batch: dict[str, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    labels = batch.pop("labels")
    with torch.no_grad():
        scores = model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
    return scores, labels
