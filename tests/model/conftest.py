"""Fixtures of the model tests: tiny models as directories, and the five ways to train them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import tiny
from support.tiny import ADAPTERS
from sweep.config.schema import Config
from sweep.data.labels import LabelSpace


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {**tiny.all_models(root), "no_pooler": tiny.tiny_bert(root / "no_pooler", pooler=False)}


@pytest.fixture(scope="session")
def labels() -> LabelSpace:
    return LabelSpace("single_label", ("balance", "card", "fees"))


@pytest.fixture(scope="session")
def configure(folders: dict[str, Path]) -> Callable[..., Config]:
    """A config by the model's name and the adapter's, with sections replaced as given."""

    def made(model: str, adapter: str = "lora", /, **sections: dict[str, Any]) -> Config:
        tree: dict[str, Any] = {
            "model": {"path": str(folders[model]), **sections.pop("model", {})},
            "adapter": {**ADAPTERS[adapter], **sections.pop("adapter", {})},
            **sections,
        }
        return Config.model_validate_json(json.dumps(tree))

    return made
