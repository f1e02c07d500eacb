"""What makes a run another experiment."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.config.schema import Config, ModelConfig, ShrinkConfig, StudyConfig
from sweep.study.identity import fingerprint, identity


def of(**model: Any) -> str:
    return fingerprint(identity(Config(model=ModelConfig(**model)), {}, data="data", model="model"))


@pytest.mark.parametrize("change", [{"init": "random"}, {"shrink": ShrinkConfig(layers=1)}, {"gguf_file": "a.gguf"}])
def test_another_model(change: dict[str, Any]) -> None:
    assert of(**change) != of()


@pytest.mark.parametrize("change", [{"path": "moved"}, {"config": "moved.json"}, {"tokenizer": "moved"}])
def test_the_same_model_somewhere_else(change: dict[str, Any]) -> None:
    """What lies there counts, by the model's fingerprint."""
    assert of(**change) == of()


def test_a_study_may_be_refitted_later() -> None:
    study = StudyConfig(refit=True)
    assert fingerprint(identity(Config(study=study), {}, data="data", model="model")) == of()
