"""Models without weights: the architecture alone, whole or shrunk, and the same weights in every
trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from support.passes import logits, train
from support.tiny import ADAPTERS
from sweep.config.schema import Config, ModelConfig, ShrinkConfig
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model import blueprint
from sweep.model.account import count
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.preflight import preflight
from sweep.model.source import fingerprint, hub_faults, model_faults
from sweep.model.tokenizer import load_tokenizer

SHRUNK = {"layers": 2, "width": 64, "heads": 4, "vocabulary": 300}
FAMILIES = ["gpt2", "gemma_2b", "gte_qwen_7b", "distilbert", "phi2", "minilm", "smollm2_135m"]


def config_of(name: str, adapter: str = "lora", **model: Any) -> Config:
    tree = {"init": "random", "config": name, "path": "someone/not-reachable", "shrink": SHRUNK, **model}
    return Config.model_validate_json(json.dumps({"model": tree, "adapter": ADAPTERS[adapter]}))


@pytest.mark.parametrize("name", FAMILIES)
def test_shrunk_in_every_family(name: str) -> None:
    found = blueprint.read(config_of(name).model)
    sizes = (found.num_hidden_layers, found.hidden_size, found.num_attention_heads, found.vocab_size)
    assert sizes == (2, 64, 4, 300)
    whole = blueprint.read(ModelConfig(init="random", config=name))
    assert found.model_type == whole.model_type and whole.hidden_size > 64


def test_feed_forward_and_shared_heads_shrink_in_proportion() -> None:
    gemma = blueprint.read(config_of("gemma_2b").model)
    assert (gemma.intermediate_size, gemma.head_dim, gemma.num_key_value_heads) == (16384 // 32, 16, 1)
    llama = blueprint.read(config_of("smollm2_135m", shrink={"width": 96, "heads": 3}).model)
    assert (llama.intermediate_size, llama.num_key_value_heads) == (256, 1)
    distilbert = blueprint.read(config_of("distilbert").model)
    assert distilbert.hidden_dim == 3072 * 64 // 768


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_weights_in_every_bench(name: str, labels: LabelSpace) -> None:
    config, scores = config_of(name), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        base_models = BaseModelCache("cpu")
        with base_models.model(TrainSettings.of(config), labels) as model:
            assert count(model) == preflight(TrainSettings.of(config), labels)
            scores.append(logits(model, base_models.tokenizer(config.model)))
    assert torch.equal(*scores) and scores[0].std() > 0


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", ["gemma_2b", "distilbert"])
def test_saved_and_loaded_again(name: str, adapter: str, labels: LabelSpace, tmp_path: Path) -> None:
    config, base_models = config_of(name, adapter), BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model:
        assert count(model) == preflight(TrainSettings.of(config), labels)
        train(model, tokenizer, steps=1)
        save(model, tokenizer, tmp_path, config=config, labels=labels)
        scores = logits(model.eval(), tokenizer)
    again, same_tokenizer = load(tmp_path)
    assert torch.equal(logits(again, same_tokenizer), scores)


def test_every_byte_has_a_token() -> None:
    tokenizer = load_tokenizer(config_of("gpt2").model)
    assert len(tokenizer) == 259 and tokenizer.pad_token_id == 0
    text = "Grüße, 世界 \n\x00"
    ids = tokenizer(text).input_ids
    assert ids[0] == tokenizer.bos_token_id and len(ids) == 1 + len(text.encode())
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_vocabulary_too_small_for_the_tokenizer() -> None:
    with pytest.raises(UserError, match="model.shrink.vocabulary: is 200, but must be at least 259"):
        load_tokenizer(config_of("gpt2", shrink={"vocabulary": 200}).model)


def test_a_tokenizer_with_more_tokens_than_the_model(folders: dict[str, Path], tmp_path: Path) -> None:
    whole = json.loads((folders["gpt2"] / "config.json").read_text())
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**whole, "vocab_size": 20}))
    config = config_of(str(file), shrink={}, tokenizer=str(folders["gpt2"]))
    with pytest.raises(UserError, match=r"model.tokenizer: is .*ids up to \d+, and the model's vocabulary ends at 19"):
        load_tokenizer(config.model)


def test_a_given_tokenizer(folders: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(config_of("gpt2", tokenizer=str(folders["bert"])).model)
    assert tokenizer.pad_token == "[PAD]"


@pytest.mark.parametrize(
    ("name", "shrink", "message"),
    [
        ("gpt2", {"width": 50}, r"model.shrink.width: is 50, but a width of 50 over 12 heads"),
        ("gpt2", {"layers": 13}, r"model.shrink.layers: is 13, but must be at most 12"),
        ("phi2", {"width": 16, "heads": 16}, r"it must be an even number from 2 on"),
    ],
)
def test_rules_of_shrinking(name: str, shrink: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        blueprint.read(config_of(name, shrink=shrink).model)


def test_all_that_is_too_big_at_once() -> None:
    with pytest.raises(UserError) as error:
        blueprint.read(config_of("gpt2", shrink={"layers": 99, "vocabulary": 10**6}).model)
    assert [fault.path for fault in error.value.faults] == ["model.shrink.layers", "model.shrink.vocabulary"]


def test_nothing_is_asked_of_the_hub() -> None:
    config = config_of("gpt2")
    assert model_faults(config.model) == [] and hub_faults(config.model) == []


def test_no_such_config() -> None:
    (fault,) = model_faults(config_of("gpt9").model)
    assert fault.path == "model.config" and "gpt2" in fault.message


@pytest.mark.parametrize("content", ["no json", "[]", '{"model_type": "unheard_of"}'])
def test_a_config_that_is_none(content: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(UserError, match="model.config: is "):
        blueprint.read(config_of(str(file)).model)


def test_the_fingerprint_is_of_the_architecture(tmp_path: Path) -> None:
    whole = config_of("gpt2").model
    copied = tmp_path / "gpt2.json"
    copied.write_bytes(blueprint.config_file(whole).read_bytes())  # type: ignore[union-attr]
    same = whole.model_copy(update={"config": str(copied), "path": "elsewhere/entirely"})
    smaller = whole.model_copy(update={"shrink": ShrinkConfig(layers=1)})
    assert fingerprint(whole).fingerprint == fingerprint(same).fingerprint
    assert len({fingerprint(one).fingerprint for one in (whole, smaller, config_of("distilbert").model)}) == 3
