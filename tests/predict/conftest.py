"""Winners with first weights, made by hand: nothing is trained for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.tiny import tiny_bert
from support.winners import saved
from sweep.config.schema import Config
from sweep.data.labels import LabelSpace

LABELS = LabelSpace("single_label", ("card", "money", "bank"))
SEVERAL = LabelSpace("multi_label", ("card", "money", "bank"))


def configured(folder: Path, **sections: Any) -> Config:
    tree: dict[str, Any] = {
        "model": {"path": str(tiny_bert(folder / "bert"))},
        "adapter": {"method": "lora"},
        "trainer": {"per_device_eval_batch_size": 4, **sections.pop("trainer", {})},
        "dataset": {"path": "data", "max_length": 8, **sections.pop("dataset", {})},
        **sections,
    }
    return Config.model_validate_json(json.dumps(tree))


@pytest.fixture(scope="session")
def winner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory of a single-label winner that reads 8 tokens, in batches of 4."""
    folder = tmp_path_factory.mktemp("winner")
    return saved(folder / "run", configured(folder), LABELS)


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory of a multi-label winner in bf16, with thresholds of its own."""
    folder = tmp_path_factory.mktemp("several")
    config = configured(folder, trainer={"bf16": True}, dataset={"task": "multi_label"})
    return saved(folder / "run", config, SEVERAL, (0.4, 0.5, 0.99))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory of a winner that reads two texts."""
    folder = tmp_path_factory.mktemp("pairs")
    return saved(folder / "run", configured(folder, dataset={"text_pair_column": "second"}), LABELS)
