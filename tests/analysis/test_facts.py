"""What follows directly from the records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from report.conftest import config, final, six_trials, words
from sweep.analysis.facts import read
from sweep.config.schema import TrainerConfig
from sweep.records.store import Store


@pytest.mark.parametrize(
    ("trainer", "params", "plain"),
    [
        ({}, {}, True),
        ({"label_smoothing_factor": 0.1}, {}, False),
        ({"label_smoothing_factor": 0.1}, {"trainer.label_smoothing_factor": 0.0}, True),
        ({"focal_gamma": 1.0}, {}, False),
        ({}, {"trainer.class_weights": "balanced"}, False),
        ({}, {"trainer.label_smoothing_factor": 0.1}, False),
    ],
)
def test_a_loss_is_plain_without_weights_and_smoothing(
    make: Callable[..., Store], trainer: dict[str, Any], params: dict[str, Any], plain: bool
) -> None:
    settings = config().model_copy(update={"trainer": TrainerConfig(**trainer)})
    assert read(make(six_trials()[:1], settings=settings)).plain_loss(params) is plain


def test_losses_that_do_not_compare_have_no_gap(make: Callable[..., Store]) -> None:
    settings = config().model_copy(update={"trainer": TrainerConfig(label_smoothing_factor=0.1)})
    ending = replace(final(six_trials()[1]), config=settings)
    report = words(make(six_trials(), settings=settings, ending=ending))
    assert "or smooths labels. It does not compare with" in report and "less training loss" not in report
    assert "label_smoothing_factor" in report
