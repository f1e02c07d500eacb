from __future__ import annotations

import json
from typing import Any

import pytest

from sweep.config.parse import parse
from sweep.config.schema import Config


def given(value: Any) -> tuple[Any, list[str]]:
    config, faults = parse({"trainer": {"class_weights": value}}, lambda _: "")
    return config.trainer.class_weights, [str(fault) for fault in faults]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("none", "none"),
        ("balanced", "balanced"),
        ([1, 2.5], (1.0, 2.5)),
        ("[1, 2.5]", (1.0, 2.5)),  # a choice of a search space is a plain value
    ],
    ids=str,
)
def test_weights_are_a_name_or_a_list(value: Any, expected: Any) -> None:
    assert given(value) == (expected, [])


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("balance", "did you mean balanced?"),
        ("[1, 2", "must be 'none' or 'balanced' or a list"),
        ([1], "at least 2 items"),
        ([1, 0], "greater than 0"),
        ([1, -2], "greater than 0"),
        (None, "must be 'none' or 'balanced' or a list"),
    ],
    ids=str,
)
def test_other_values_are_refused(value: Any, part: str) -> None:
    weights, faults = given(value)
    assert weights == "none"
    assert len(faults) == 1 and faults[0].startswith("trainer.class_weights: is") and part in faults[0]


def test_a_config_with_weights_is_read_back_from_a_record() -> None:
    config = Config.model_validate({"trainer": {"class_weights": (1.0, 3.0), "focal_gamma": 2.0}})
    again = Config.model_validate_json(json.dumps(config.model_dump(mode="json")))
    assert again == config and not again.trainer.plain_loss
    assert Config().trainer.plain_loss
