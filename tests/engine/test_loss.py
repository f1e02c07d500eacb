from __future__ import annotations

import pytest
import torch
from transformers.trainer_pt_utils import LabelSmoother

from sweep.engine.loss import summed, summed_over_words

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


def test_label_words_are_not_set_against_each_other() -> None:
    by_hand = -sum(float(SCORES[row, label]) for row, label in enumerate(ONE))
    assert float(summed_over_words(SCORES, ONE)) == pytest.approx(by_hand, rel=1e-6)
    assert torch.equal(summed_over_words(SCORES.gather(1, ONE[:, None]), ONE), summed_over_words(SCORES, ONE))
