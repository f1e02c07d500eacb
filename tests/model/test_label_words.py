"""Scores of label words: what they are, whatever the batch, and how they learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, BloomConfig, BloomForCausalLM, PhiConfig

from support.passes import assert_same, tensors
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model.account import count, unwrapped, without_words
from sweep.model.adapter import attach
from sweep.model.artifact import load, save
from sweep.model.base import Base, quantization
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.preflight import preflight

Configure = Callable[..., Config]
TEXTS = ["please top up my card", "how do i change the pin of my new card", "fee"]
ONE_TOKEN = {"balance": " balance", "card": " card", "fees": " fee"}
SEVERAL = {"balance": " balance of account", "card": " card", "fees": " fee charge"}
TEMPLATE = "what is {text} for ?"


def prompted(configure: Configure, model: str = "gpt2", adapter: str = "lora", **prompt: Any) -> Config:
    return configure(model, adapter, prompt={"template": TEMPLATE, "label_words": SEVERAL, **prompt})


def elsewhere(config: Config, folder: Path) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"path": str(folder)})})


def scores(model: nn.Module, tokenizer: Any, texts: list[str] = TEXTS, **more: Tensor) -> Tensor:
    assert hasattr(model, "prompt")
    with torch.no_grad():
        return model(**model.prompt.batch(tokenizer, texts), **more).logits


def by_hand(model: nn.Module, tokenizer: Any, words: dict[str, str], *, mean: bool) -> Tensor:
    """One row and one label at a time, nothing padded, all logits."""
    rows = []
    for text in TEXTS:
        prompt = tokenizer(TEMPLATE.format(text=text))["input_ids"]
        row = []
        for word in words.values():
            tokens = tokenizer(word)["input_ids"]
            with torch.no_grad():
                logits = without_words(model)(input_ids=torch.tensor([prompt + tokens])).logits[0].float()
            found = logits[len(prompt) - 1 : -1].log_softmax(-1)[range(len(tokens)), tokens]
            row.append(found.mean() if mean else found.sum())
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize("scoring", ["sum", "mean"])
@pytest.mark.parametrize("words", [ONE_TOKEN, SEVERAL], ids=["one token", "several"])
@pytest.mark.parametrize(("model", "side"), [("gpt2", "right"), ("gpt2", "left"), ("llama", "left")])
def test_scores_are_those_of_each_row_alone(
    model: str, side: str, words: dict[str, str], scoring: str, configure: Configure, labels: LabelSpace
) -> None:
    base_models, config = BaseModelCache("cpu"), prompted(configure, model, label_words=words, scoring=scoring)
    tokenizer = base_models.tokenizer(config.model)
    tokenizer.padding_side = side
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        expected = by_hand(scorer, tokenizer, words, mean=scoring == "mean")
        assert torch.allclose(scores(scorer, tokenizer), expected, atol=1e-5)


def test_position_biases_are_those_of_the_row_alone(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    """Bloom takes no position ids: it counts positions in the attention mask."""
    base_models = BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(configure("gpt2").model)
    torch.manual_seed(0)
    BloomForCausalLM(BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=1, n_head=2)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    config = elsewhere(prompted(configure), tmp_path)
    tokenizer = base_models.tokenizer(config.model)
    tokenizer.padding_side = "left"
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        expected = by_hand(scorer, tokenizer, SEVERAL, mean=False)
        assert torch.allclose(scores(scorer, tokenizer), expected, atol=1e-5)


def test_an_answer_scores_as_it_does_beside_all_others(configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), prompted(configure)
    tokenizer, answers = base_models.tokenizer(config.model), torch.tensor([2, 0, 1])
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        alone = scores(scorer, tokenizer, answers=answers)
        among = scores(scorer, tokenizer).gather(1, answers[:, None])
    assert alone.shape == (3, 1) and torch.allclose(alone, among, atol=1e-6)


def test_logits_are_made_only_where_they_are_needed(configure: Configure, labels: LabelSpace) -> None:
    base_models, shapes = BaseModelCache("cpu"), []
    for words in (ONE_TOKEN, SEVERAL):
        config = prompted(configure, label_words=words)
        with base_models.model(TrainSettings.of(config), labels) as scorer:
            tokenizer = base_models.tokenizer(config.model)
            output = unwrapped(scorer).get_output_embeddings()
            output.register_forward_hook(lambda _, __, made: shapes.append(tuple(made.shape[:2])))
            scores(scorer, tokenizer)
            scores(scorer, tokenizer, answers=torch.tensor([0, 1, 1]))
    assert shapes == [(1, 3), (1, 3), (1, 3 * (3 + 1 + 2)), (1, 3 + 1 + 1)]


def test_many_labels_of_a_small_batch_share_passes(configure: Configure) -> None:
    labels = LabelSpace("single_label", tuple(f"{index}" for index in range(70)))
    pool = ("card", "money", "bank", "account", "pin", "fee", "old", "new", "cash", "rate")
    words = {name: f" {pool[int(name) // 10]} {pool[int(name) % 10]}" for name in labels.names}
    base_models, config = BaseModelCache("cpu"), prompted(configure, label_words=words)
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        sizes: list[int] = []
        unwrapped(scorer).register_forward_pre_hook(
            lambda _, __, given: sizes.append(len(given["input_ids"])), with_kwargs=True
        )
        found = scores(scorer, base_models.tokenizer(config.model), ["a card", "my fee"])
    assert found.shape == (2, 70) and sizes == [32, 32, 32, 32, 12]


def test_there_is_no_new_head(configure: Configure, labels: LabelSpace) -> None:
    for adapter in ("lora", "qlora", "ia3"):
        with BaseModelCache("cpu").model(TrainSettings.of(prompted(configure, "llama", adapter)), labels) as scorer:
            trained = [name for name, weight in scorer.named_parameters() if weight.requires_grad]
            assert trained and all("lora_" in name or "ia3_" in name for name in trained)
            assert unwrapped(scorer).lm_head.weight.dtype in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("model", ["gpt2", "llama"])
@pytest.mark.parametrize("adapter", ["lora", "qlora", "ia3", "full"])
def test_account_is_that_of_the_loaded_model(
    model: str, adapter: str, configure: Configure, labels: LabelSpace
) -> None:
    config = prompted(configure, model, adapter)
    with BaseModelCache("cpu").model(TrainSettings.of(config), labels) as loaded:
        assert preflight(TrainSettings.of(config), labels) == count(loaded)


def test_account_of_phi_2() -> None:
    """At full size: 2,779,683,840 published weights, and rank 16 on four modules of each of 32
    layers."""
    width, inner, layers = 2560, 10240, 32
    shape = PhiConfig(vocab_size=51200, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, dtype=torch.float16)
    adapter = {"quantization": "nf4", "r": 16, "target_modules": ("q_proj", "v_proj", "fc1", "fc2")}
    config = Config.model_validate({"adapter": adapter, "prompt": {"template": "{text}"}})
    found = count(attach(Base(model, (), ()), TrainSettings.of(config)), quantization(config.adapter))
    assert (found.total, found.trainable) == (2_798_033_920, 18_350_080)
    assert found.trainable == layers * 16 * (2 * 2 * width + 2 * (width + inner))
    assert found.groups["language-model head"].bytes == 2 * 51200 * (width + 1)  # not quantised


def train(scorer: nn.Module, tokenizer: Any) -> None:
    assert hasattr(scorer, "prompt")
    optimizer = torch.optim.SGD([weight for weight in scorer.parameters() if weight.requires_grad], lr=0.1)
    for _ in range(2):
        scorer.train()
        batch = scorer.prompt.batch(tokenizer, TEXTS)
        (-scorer(**batch, answers=torch.tensor([0, 1, 2])).logits.mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    scorer.eval()


@pytest.mark.parametrize("adapter", ["lora", "qlora", "ia3", "full"])
def test_a_trained_model_leaves_the_base_as_it_was(adapter: str, configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), prompted(configure, "llama", adapter)
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        fresh, before = tensors(scorer), scores(scorer, base_models.tokenizer(config.model))
        train(scorer, base_models.tokenizer(config.model))
        assert not torch.equal(scores(scorer, base_models.tokenizer(config.model)), before)
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        assert_same(fresh, tensors(scorer))
        assert torch.equal(scores(scorer, base_models.tokenizer(config.model)), before)


@pytest.mark.parametrize(
    ("model", "adapter"), [("gpt2", "lora"), ("llama", "qlora"), ("llama", "ia3"), ("gpt2", "full")]
)
def test_a_saved_model_scores_the_same(
    model: str, adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    base_models, config = BaseModelCache("cpu"), prompted(configure, model, adapter)
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        train(scorer, tokenizer)
        save(scorer, tokenizer, tmp_path, config=config, labels=labels)
        expected = scores(scorer, tokenizer)
    assert torch.equal(scores(*load(tmp_path)), expected)


def test_peft_alone_loads_the_adapter(configure: Configure, labels: LabelSpace, tmp_path: Path) -> None:
    base_models, config = BaseModelCache("cpu"), prompted(configure)
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        train(scorer, tokenizer)
        save(scorer, tokenizer, tmp_path, config=config, labels=labels)
        expected = scores(scorer, tokenizer)
    base = AutoModelForCausalLM.from_pretrained(config.model.path)
    model = PeftModel.from_pretrained(base, tmp_path).eval()
    assert torch.allclose(by_hand(model, tokenizer, SEVERAL, mean=False), expected, atol=1e-5)


@pytest.mark.parametrize("adapter", ["lora", "full", "qlora"])
def test_the_card_says_how_to_load(
    adapter: str, configure: Configure, labels: LabelSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is run as it stands."""
    base_models, config = BaseModelCache("cpu"), prompted(configure, "gpt2", adapter)
    with base_models.model(TrainSettings.of(config), labels) as scorer:
        train(scorer, base_models.tokenizer(config.model))
        save(scorer, base_models.tokenizer(config.model), tmp_path, config=config, labels=labels)
        expected = scores(scorer, base_models.tokenizer(config.model))
    text = (tmp_path / "README.md").read_text()
    assert "classification head" not in text and TEMPLATE in text and "`' card'`" in text
    monkeypatch.chdir(tmp_path)
    with_sweep, without = (part.split("```")[0] for part in text.split("```python\n")[1:])
    found: dict[str, Any] = {}
    exec(with_sweep, found)
    assert len(found["found"].probabilities) == 3 and sum(found["found"].probabilities.values()) == pytest.approx(1)
    found = {}
    exec(without, found)
    assert torch.allclose(by_hand(found["model"], found["tokenizer"], SEVERAL, mean=False), expected, atol=1e-5)


def test_faults_of_model_and_words_come_together(configure: Configure, labels: LabelSpace) -> None:
    config = prompted(configure, "bert", label_words={"balance": " card", "card": " card", "fees": " fee"})
    with pytest.raises(UserError) as caught:
        preflight(TrainSettings.of(config), labels)
    first, second = map(str, caught.value.faults)
    assert "reads a text in both directions (bert)" in first
    assert "prompt.label_words: for balance and for card are the same tokens" in second


def test_weights_without_a_language_model(
    configure: Configure, labels: LabelSpace, tmp_path: Path, folders: dict[str, Path]
) -> None:
    """A checkpoint of the headless model: Llama's output layer is weights of its own."""
    AutoModel.from_pretrained(folders["llama"]).save_pretrained(tmp_path)
    BaseModelCache("cpu").tokenizer(configure("llama").model).save_pretrained(tmp_path)
    config = elsewhere(prompted(configure, "llama"), tmp_path)
    with pytest.raises(UserError, match="lm_head.weight"):
        preflight(TrainSettings.of(config), labels)
