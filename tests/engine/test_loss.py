from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.trainer_pt_utils import LabelSmoother

from sweep.config.schema import Config, Task
from sweep.config.settings import TrainSettings
from sweep.engine.loss import mean_loss, summed, summed_over_words, training_loss

SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
ONE = torch.tensor([0, 3, 1, 1, 2, 0])
SEVERAL = torch.tensor([[0, 1, 1, 0]] * 3 + [[1, 0, 0, 0]] * 3, dtype=torch.float32)


def test_single_label_smoothing_is_that_of_transformers() -> None:
    expected = LabelSmoother(epsilon=0.1)({"logits": SCORES}, ONE)
    assert float(summed("single_label", SCORES, ONE, smoothing=0.1)) / 6 == pytest.approx(float(expected), rel=1e-5)


def test_multi_label_smoothing_moves_targets_towards_one_half() -> None:
    smoothed = summed("multi_label", SCORES, SEVERAL, smoothing=0.2)
    by_hand = torch.nn.functional.binary_cross_entropy_with_logits(SCORES, SEVERAL * 0.8 + 0.1, reduction="sum")
    assert torch.equal(smoothed, by_hand)


def configured(task: Task, **sections: Any) -> TrainSettings:
    return TrainSettings.of(Config.model_validate({"dataset": {"task": task}, **sections}))


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        (configured("single_label"), ONE),
        (configured("multi_label"), SEVERAL),
        (configured("single_label", prompt={"template": "{text}"}), ONE),
    ],
    ids=["single_label", "multi_label", "label words"],
)
def test_batches_of_a_step_add_up_to_its_mean(settings: TrainSettings, labels: torch.Tensor) -> None:
    loss = training_loss(settings)
    whole = loss(SimpleNamespace(logits=SCORES), labels, labels.numel())
    batches = ([0, 1, 2, 3], [4, 5])
    parts = [loss(SimpleNamespace(logits=SCORES[rows]), labels[rows], labels.numel()) for rows in batches]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-6)
    assert float(whole) == pytest.approx(mean_loss(settings)(SCORES, labels), rel=1e-6)


def test_label_words_are_not_set_against_each_other() -> None:
    by_hand = -sum(float(SCORES[row, label]) for row, label in enumerate(ONE))
    assert float(summed_over_words(SCORES, ONE)) == pytest.approx(by_hand, rel=1e-6)
    assert torch.equal(summed_over_words(SCORES.gather(1, ONE[:, None]), ONE), summed_over_words(SCORES, ONE))
