"""A model of the last steps, seen from the study."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from sweep.engine.evaluation import Measured
from sweep.final.final_model import FinalModel


@dataclass(frozen=True)
class Hosted:
    host: str
    worker: str = ""

    def call(self, *_args: Any, **_options: Any) -> Any:
        return "predictions", Measured({"test/gain": math.nan, "test/loss": 0.5}, {"test/gain": "raised OSError"})


@pytest.mark.parametrize(("host", "told"), [("", "raised OSError"), ("one", "raised OSError, on the worker on one")])
def test_a_metric_that_fails_before_training_is_told_with_its_host(host: str, told: str) -> None:
    rows: Any = None
    _, before = FinalModel(Hosted(host), shares_disk=not host).test(rows)
    assert before.failed == {"test/gain": told} and before.values["test/loss"] == 0.5
