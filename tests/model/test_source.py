"""Random models, other tokenizers and GGUF files, from config to preflight, training and
loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from support.passes import assert_same, logits, tensors, train
from support.tiny import ADAPTERS
from sweep.config.schema import Config, ModelConfig
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model import gguf
from sweep.model.account import count
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.preflight import preflight
from sweep.model.source import fingerprint, hub_faults, idle, model_faults
from sweep.plan.checks import check

SMALL = {"layers": 1, "width": 32, "heads": 2, "vocabulary": 300}
FAMILIES = {"gpt2": {}, "distilbert": {}, "minilm": {"path": ""}, "gemma_2b": {}, "gte_qwen_7b": {}, "phi2": {}}


def random(name: str, adapter: str = "lora", /, shrink: dict[str, int] = SMALL, **model: Any) -> Config:
    """A path that nobody can reach, unless one is given."""
    sizes = {**shrink, "width": 40} if name == "phi2" and shrink is SMALL else shrink
    fields = {"path": "no-one/nowhere", "config": name, "init": "random", "shrink": sizes, **model}
    return Config.model_validate_json(json.dumps({"model": fields, "adapter": ADAPTERS[adapter]}))


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*arguments: Any, **named: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", asked)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adapter", ["lora", "qlora"])
def test_account_is_that_of_the_drawn_model(family: str, adapter: str, labels: LabelSpace) -> None:
    config = random(family, adapter, **FAMILIES[family])
    with BaseModelCache("cpu").model(TrainSettings.of(config), labels) as model:
        assert preflight(TrainSettings.of(config), labels) == count(model)


@pytest.mark.parametrize("name", ["gemma_2b", "gte_qwen_7b"])
def test_the_largest_are_accounted_for_without_memory(name: str, labels: LabelSpace) -> None:
    found = preflight(TrainSettings.of(random(name, "qlora", shrink={})), labels)
    assert found.total > 2_000_000_000 and list(found.groups)[:2] == ["embeddings", "attention"]
    assert "language-model head" not in found.groups


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_saved_and_drawn_again(adapter: str, labels: LabelSpace, tmp_path: Path) -> None:
    config, base_models = random("gemma_2b", adapter), BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model:
        train(model, tokenizer)
        save(model, tokenizer, tmp_path / "first", config=config, labels=labels)
        scores = logits(model, tokenizer)
    (tmp_path / "first").rename(tmp_path / "moved")
    again, same = load(tmp_path / "moved")
    assert torch.equal(logits(again, same), scores)
    said = "every weight" if adapter == "full" else "never pretrained"
    assert said in (tmp_path / "moved" / "README.md").read_text()


def test_each_bench_draws_the_same(labels: LabelSpace) -> None:
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        with BaseModelCache("cpu").model(TrainSettings.of(random("gpt2")), labels) as model:
            found.append(tensors(model))
    assert_same(*found)


def test_fingerprint_is_of_the_architecture() -> None:
    def of(**sizes: int) -> str:
        return fingerprint(random("gpt2", shrink=sizes).model).fingerprint

    assert of(layers=2) == of(layers=2)
    assert len({of(), of(layers=2), of(layers=1), fingerprint(random("phi2", shrink={}).model).fingerprint}) == 4


def test_another_tokenizer_is_another_model(folders: dict[str, Path]) -> None:
    plain = fingerprint(ModelConfig(path=str(folders["gpt2"])))
    assert plain != fingerprint(ModelConfig(path=str(folders["gpt2"]), tokenizer=str(folders["llama"])))


def test_a_given_tokenizer_is_taken(folders: dict[str, Path], labels: LabelSpace) -> None:
    config = random("gpt2", tokenizer=str(folders["bert"]))
    assert BaseModelCache("cpu").tokenizer(config.model).cls_token == "[CLS]"
    assert preflight(TrainSettings.of(config), labels).total


def test_own_tokenizer_of_a_path_at_hand(folders: dict[str, Path]) -> None:
    model = random("distilbert", path=str(folders["distilbert"])).model
    assert BaseModelCache("cpu").tokenizer(model).cls_token == "[CLS]"


def refused(config: Config, labels: LabelSpace) -> str:
    with pytest.raises(UserError) as caught:
        preflight(TrainSettings.of(config), labels)
    return str(caught.value)


def test_tokenizers_that_do_not_fit(folders: dict[str, Path], labels: LabelSpace) -> None:
    small = refused(random("gpt2", shrink={"vocabulary": 258, "layers": 99}), labels)
    assert "model.shrink.vocabulary: is 258, but must be at least 259, which the tokenizer needs" in small
    assert "model.shrink.layers: is 99" in small
    (folders["bert"].parent / "own").mkdir(exist_ok=True)
    BaseModelCache("cpu").tokenizer(random("gpt2").model).save_pretrained(folders["bert"].parent / "own")
    other = Config(model=ModelConfig(path=str(folders["bert"]), tokenizer=str(folders["bert"].parent / "own")))
    assert "own, but it has ids up to 258, and the model's vocabulary ends at" in refused(other, labels)


def test_faults_that_need_no_torch(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda _: object())
    missing = random("no_such", tokenizer=str(tmp_path / "nowhere"))
    assert [fault.path for fault in model_faults(missing.model)] == ["model.config", "model.tokenizer"]
    (tmp_path / "a.gguf").touch()
    wrong = Config(model=ModelConfig(path=str(tmp_path), gguf_file="b.gguf"))
    assert [str(fault) for fault in model_faults(wrong.model)] == [
        f"model.gguf_file: is b.gguf, but {tmp_path} has a.gguf"
    ]
    assert not model_faults(random("gpt2").model) and not hub_faults(random("gpt2").model)


def test_gguf_reader_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gguf").touch()
    monkeypatch.setattr(gguf, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"gguf is not installed: pip install 'sweep\[gguf\]'"):
        gguf.check(str(tmp_path), "a.gguf")


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        ({"path": "x", "shrink": {"layers": 1}}, {"model.shrink.layers"}),
        ({"init": "random"}, {"model.path"}),
        ({"init": "random", "config": "gpt2"}, set()),
    ],
)
def test_combinations(model: dict[str, Any], paths: set[str]) -> None:
    config = Config.model_validate_json(json.dumps({"model": model}))
    found = {fault.path for fault in check(config)}
    assert {path for path in found if path.startswith("model.")} == paths


def test_a_revision_of_a_folder_has_no_effect(folders: dict[str, Path]) -> None:
    assert idle(ModelConfig(path=str(folders["bert"]), revision="v1"), lambda _: True) == (
        "model.revision (v1) has no effect: model.path is a folder here, not on the hub",
    )
    assert idle(ModelConfig(path="pkg://some/model", revision="v1"), lambda _: True)
    assert not idle(ModelConfig(path=str(folders["bert"])), lambda _: True)
    assert not idle(ModelConfig(path="org/name", revision="v1"), lambda _: True)
    assert not idle(ModelConfig(path=str(folders["bert"]), revision="v1"), lambda key: key != "model.revision")
