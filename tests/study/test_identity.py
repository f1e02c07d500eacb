"""The values that make a run another experiment."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sweep.config.schema import Config, DatasetConfig, ModelConfig, ShrinkConfig, StudyConfig
from sweep.errors import UserError
from sweep.provenance import DataState, GitState, ModelState
from sweep.records.lock import Lock
from sweep.study.identity import fingerprint, identity, refuse_if_changed


def of(**model: Any) -> str:
    return fingerprint(identity(Config(model=ModelConfig(**model)), {}, data="data", model="model"))


@pytest.mark.parametrize("change", [{"init": "random"}, {"shrink": ShrinkConfig(layers=1)}, {"gguf_file": "a.gguf"}])
def test_another_model(change: dict[str, Any]) -> None:
    assert of(**change) != of()


@pytest.mark.parametrize("change", [{"path": "moved"}, {"config": "moved.json"}, {"tokenizer": "moved"}])
def test_the_same_model_somewhere_else(change: dict[str, Any]) -> None:
    """The model's fingerprint counts, and not its location."""
    assert of(**change) == of()


def test_the_encoding_of_a_file_does_not_make_another_experiment() -> None:
    """Its texts count, by the data's fingerprint."""
    assert (
        fingerprint(identity(Config(dataset=DatasetConfig(encoding="cp1252")), {}, data="data", model="model")) == of()
    )


def locked(config: Config, experiment: str) -> Lock:
    return Lock(
        experiment=experiment, config=config, space={}, command="", seeds={}, versions={}, machine={}, git=GitState(),
        data=DataState("data", "", "data", {}, ()), model=ModelState("model", "", "model"), created="",
    )  # fmt: skip


def test_a_study_that_began_before_a_key_was_added_goes_on() -> None:
    """Its fingerprint was counted without the key, whose default says what was done then."""
    refuse_if_changed(locked(Config(), "of fewer keys"), locked(Config(), "of all keys"))
    with pytest.raises(UserError, match="dataset.stratify: was False when this study began, and is 'auto' now"):
        refuse_if_changed(locked(Config(dataset=DatasetConfig(stratify=False)), "before"), locked(Config(), "now"))


def test_the_overrides_for_the_values_that_a_study_began_with() -> None:
    before = Config(dataset=DatasetConfig(stratify=False, max_length=None), model=ModelConfig(dtype="bfloat16"))
    now = Config(dataset=DatasetConfig(max_length=32), model=ModelConfig(dtype="float32"))
    typed = "put the values back (dataset.max_length=null dataset.stratify=false model.dtype=bfloat16), or name"
    with pytest.raises(UserError, match=re.escape(typed)):
        refuse_if_changed(locked(before, "before"), locked(now, "now"))


def test_a_study_may_be_refitted_later() -> None:
    study = StudyConfig(refit=True)
    assert fingerprint(identity(Config(study=study), {}, data="data", model="model")) == of()
