"""A pooled model by the standard routes: refused, never loaded without its pooling."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, FNetConfig, FNetModel, pipeline

from support.passes import logits, train
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.model.account import unwrapped
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.pooling_marks import ARCHITECTURE
from sweep.model.tokenizer import load_tokenizer

Configure = Callable[..., Config]
UNKNOWN = "does not recognize this architecture"


def trained(folder: Path, config: Config, labels: LabelSpace) -> Tensor:
    base_models = BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model:
        train(model, tokenizer)
        save(model, tokenizer, folder, config=config, labels=labels)
        return logits(model, tokenizer)


def settings(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


@pytest.mark.parametrize(("model", "adapter"), [("bert", "lora"), ("gpt2", "ia3")])
def test_an_adapter_is_not_loaded_without_its_pooling(
    model: str, adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    config = configure(model, adapter, model={"pooling": "mean"})
    scores = trained(tmp_path, config, labels)
    base = AutoModelForSequenceClassification.from_pretrained(config.model.path, num_labels=3)
    for route in (
        AutoPeftModelForSequenceClassification.from_pretrained,
        lambda place: PeftModel.from_pretrained(base, place),
    ):
        with pytest.raises(KeyError, match=r"model.pooling=mean: only sweep.model.artifact.load loads it"):
            route(str(tmp_path))
    assert torch.equal(logits(*load(tmp_path)), scores)


@pytest.mark.parametrize("adapter", ["lora", "head", "full"])
def test_the_folder_is_no_model_of_transformers(
    adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    trained(tmp_path, configure("bert", adapter, model={"pooling": "cls"}), labels)
    with pytest.raises(ValueError, match=UNKNOWN):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=UNKNOWN):
        pipeline("text-classification", model=str(tmp_path))
    with pytest.raises(OSError, match=r"no file named model.safetensors"):
        type(unwrapped(load(tmp_path)[0])).from_pretrained(tmp_path)
    assert settings(tmp_path, "config.json")["architectures"] == ["BertForSequenceClassificationWithClsPooling"]
    assert AutoTokenizer.from_pretrained(tmp_path).cls_token == "[CLS]"
    assert AutoConfig.from_pretrained(tmp_path / ARCHITECTURE).model_type == "bert"
    front = (tmp_path / "README.md").read_text().split("---")[1]
    assert "pipeline_tag" not in front and "library_name: sweep" in front


@pytest.mark.parametrize(("model", "adapter"), [("bert", "lora"), ("distilbert", "full"), ("llama", "head")])
def test_saving_a_loaded_model(
    model: str, adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    scores = trained(tmp_path, configure(model, adapter, model={"pooling": "mean"}), labels)
    found, tokenizer = load(tmp_path)
    found.load_state_dict(found.state_dict())
    plain: Any = found.merge_and_unload() if isinstance(found, PeftModel) else found  # type: ignore[operator]
    torch.testing.assert_close(logits(plain, tokenizer), scores, rtol=0, atol=1e-5)
    merged = tmp_path / "merged"
    plain.save_pretrained(merged)
    tokenizer.save_pretrained(merged)
    with pytest.raises(ValueError, match=UNKNOWN):
        AutoModelForSequenceClassification.from_pretrained(merged)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        type(plain).from_pretrained(merged)


def test_an_adapter_saved_again(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    config = configure("bert", model={"pooling": "mean"})
    trained(tmp_path, config, labels)
    found: Any = load(tmp_path)[0]
    found.save_pretrained(tmp_path / "again")
    base = AutoModelForSequenceClassification.from_pretrained(config.model.path, num_labels=3)
    with pytest.raises(RuntimeError, match="size mismatch"):
        PeftModel.from_pretrained(base, tmp_path / "again")


def test_without_a_pooling_nothing_is_marked(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    config = configure("bert")
    scores = trained(tmp_path, config, labels)
    base = AutoModelForSequenceClassification.from_pretrained(config.model.path, num_labels=3)
    model = PeftModel.from_pretrained(base, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert torch.equal(logits(model, tokenizer), scores)
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(merged, tokenizer), scores, rtol=0, atol=1e-5)
    assert not (tmp_path / ARCHITECTURE).exists()


@pytest.mark.parametrize("adapter", ["lora", "head", "full"])
def test_folders_without_marks_load_too(adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    """Older versions wrote folders without marks."""
    scores = trained(tmp_path, configure("bert", adapter, model={"pooling": "mean"}), labels)
    (tmp_path / ARCHITECTURE).rename(tmp_path / "config.json")
    if adapter == "full":
        (tmp_path / "model.mean_pooling.safetensors").rename(tmp_path / "model.safetensors")
    if adapter == "lora":
        found = settings(tmp_path, "adapter_config.json")
        (tmp_path / "adapter_config.json").write_text(json.dumps({**found, "peft_type": "LORA"}))
    assert torch.equal(logits(*load(tmp_path)), scores)


def test_a_folder_that_held_a_pooled_model(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    for kind in ("mean", None):
        scores = trained(tmp_path, configure("gpt2", model={"pooling": kind}), labels)
    assert torch.equal(logits(*load(tmp_path)), scores)
    assert AutoConfig.from_pretrained(tmp_path).model_type == "gpt2"


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_saving_a_model_that_the_card_loaded(
    adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path, configure("bert", adapter, model={"pooling": "mean"}), labels)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec((tmp_path / "README.md").read_text().split("```python\n")[2].split("```")[0], found)
    model = found["model"]
    (model.merge_and_unload() if adapter == "lora" else model).save_pretrained("merged")
    with pytest.raises(ValueError, match=UNKNOWN):
        AutoModelForSequenceClassification.from_pretrained("merged")


@pytest.mark.parametrize(("adapter", "tagged"), [("full", True), ("lora", False), ("head", False)])
def test_a_card_names_a_pipeline_only_where_one_loads_the_folder(
    adapter: str, tagged: bool, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    """transformers' own reads every weight from the folder."""
    scores = trained(tmp_path, configure("bert", adapter), labels)
    assert ("pipeline_tag: text-classification" in (tmp_path / "README.md").read_text()) == tagged
    if not tagged:
        with pytest.raises(ValueError, match="Could not load model"):
            pipeline("text-classification", model=str(tmp_path))
        return
    made = pipeline("text-classification", model=str(tmp_path), device="cpu")
    assert torch.equal(logits(made.model, made.tokenizer), scores)


def test_the_card_of_a_pooled_model_that_takes_no_mask(
    configure: Configure, labels: LabelSpace, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, base = AutoTokenizer.from_pretrained(folders["bert"]), tmp_path / "base"
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "max_position_embeddings": 64,
    }
    FNetModel(FNetConfig(vocab_size=len(tokenizer), pad_token_id=0, **sizes)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    config = configure("bert", "head", model={"path": str(base), "pooling": "mean"})
    with BaseModelCache("cpu").model(TrainSettings.of(config), labels) as model:
        own = load_tokenizer(config.model)
        save(model, own, tmp_path / "model", config=config, labels=labels)
        texts = ["card money", "lost"]
        scores = model(**own(texts, padding="max_length", truncation=True, return_tensors="pt")).logits
    monkeypatch.chdir(tmp_path / "model")
    found: dict[str, Any] = {}
    code = Path("README.md").read_text().split("```python\n")[2].split("```")[0]
    exec(code.replace('["your text"]', str(texts)), found)
    assert torch.equal(found["logits"], scores)
