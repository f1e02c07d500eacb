"""A reused base gives a trial what a fresh one would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import DataCollatorWithPadding, GPT2ForSequenceClassification, Trainer, TrainingArguments

import sweep.model.base_model_cache as bench_module
from support.passes import LABELS, TEXTS, assert_same, batch, first_loss, logits, tensors, train
from support.tiny import ADAPTERS
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.errors import UserError
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.state import trainable_state

Configure = Callable[..., Config]


def look(
    base_models: BaseModelCache, config: Config, labels: LabelSpace
) -> tuple[dict[str, Tensor], Tensor, list[bool]]:
    with base_models.model(TrainSettings.of(config), labels) as model:
        state = tensors(model)
        flags = [weight.requires_grad for weight in model.parameters()]
        return state, first_loss(model, base_models.tokenizer(config.model)).detach().clone(), flags


@pytest.mark.parametrize(
    ("model", "adapter"),
    [
        *(("gpt2", adapter) for adapter in ADAPTERS),
        ("distilbert", "lora"),
        ("no_pooler", "lora"),
        ("no_pooler", "full"),
    ],
)
def test_reused_is_as_fresh_after_every_other_kind_of_trial(
    model: str, adapter: str, configure: Configure, labels: LabelSpace
) -> None:
    assert_reused_is_as_fresh("cpu", model, adapter, configure, labels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_reused_is_as_fresh_on_a_gpu(adapter: str, configure: Configure, labels: LabelSpace) -> None:
    assert_reused_is_as_fresh("cuda", "gpt2", adapter, configure, labels)


def assert_reused_is_as_fresh(device: str, model: str, adapter: str, configure: Configure, labels: LabelSpace) -> None:
    config = configure(model, adapter)
    weights, loss, flags = look(BaseModelCache(device), config, labels)
    base_models = BaseModelCache(device)
    for other in ADAPTERS:
        with base_models.model(TrainSettings.of(configure(model, other, trainer={"seed": 5})), labels) as trained:
            train(trained, base_models.tokenizer(config.model))
    again, loss_again, flags_again = look(base_models, config, labels)
    assert_same(weights, again)
    assert torch.equal(loss, loss_again)
    assert flags == flags_again


def test_the_base_is_loaded_once(configure: Configure, labels: LabelSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    real = bench_module.load

    def counted(spec: Any, *rest: Any) -> Any:
        loads.append(spec.model.path)
        return real(spec, *rest)

    monkeypatch.setattr(bench_module, "load", counted)
    base_models = BaseModelCache("cpu")
    for adapter in ("lora", "ia3", "full", "head", "lora"):
        with base_models.model(TrainSettings.of(configure("gpt2", adapter)), labels):
            pass
    assert len(loads) == 1
    for adapter in ("qlora", "lora"):
        with base_models.model(TrainSettings.of(configure("gpt2", adapter)), labels):
            pass
    assert len(loads) == 3


def test_a_trial_that_fails_leaves_no_trace(configure: Configure, labels: LabelSpace) -> None:
    config = configure("bert", "full")
    weights, loss, _ = look(BaseModelCache("cpu"), config, labels)
    base_models = BaseModelCache("cpu")
    with (
        pytest.raises(RuntimeError, match="out of memory"),
        base_models.model(TrainSettings.of(config), labels) as model,
    ):
        train(model, base_models.tokenizer(config.model))
        model.register_forward_hook(lambda *_: (_ for _ in ()).throw(ValueError))
        raise RuntimeError("out of memory")
    again, loss_again, _ = look(base_models, config, labels)
    assert_same(weights, again)
    assert torch.equal(loss, loss_again)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_only_what_is_trained_is_copied(adapter: str, configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure("gpt2", adapter)
    with base_models.model(TrainSettings.of(config), labels) as model:
        assert base_models._base is not None
        kept = {weight.data_ptr() for weight in base_models._base.model.parameters()}
        frozen = [weight for weight in model.parameters() if not weight.requires_grad and weight.numel() > 100]
        assert all(weight.data_ptr() in kept for weight in frozen)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        assert not any(weight.data_ptr() in kept for weight in trained)


def test_seed_alone_decides_head_and_adapter(configure: Configure, labels: LabelSpace) -> None:
    base_models = BaseModelCache("cpu")

    def drawn(seed: int) -> dict[str, Tensor]:
        torch.rand(3)
        with base_models.model(TrainSettings.of(configure("distilbert", trainer={"seed": seed})), labels) as model:
            return trainable_state(model)

    one, same, other = drawn(1), drawn(1), drawn(2)
    assert_same(one, same)
    heads = [name for name in one if "classifier" in name and name.endswith("weight")]
    assert len(heads) == 2
    matrices = [name for name in one if "lora_A" in name]
    assert not any(torch.equal(one[name], other[name]) for name in heads + matrices)
    assert one[heads[0]].std() == pytest.approx(0.02, rel=0.2)  # DistilBERT's own initializer_range


def test_torch_generator_is_left_alone(configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure("bert")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with base_models.model(TrainSettings.of(config), labels):
        assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_gradients_reach_the_first_layer_after_an_evaluation(
    adapter: str, configure: Configure, labels: LabelSpace
) -> None:
    base_models, config = BaseModelCache("cpu"), configure("gpt2", adapter)
    tokenizer = base_models.tokenizer(config.model)
    with base_models.model(TrainSettings.of(config), labels) as model:
        before = tensors(model)
        logits(model, tokenizer)
        assert_same(before, tensors(model))
        first_loss(model, tokenizer).backward()
        flags = {name: weight.grad is not None for name, weight in model.named_parameters()}
    trained = {name for name, has_gradient in flags.items() if has_gradient}
    assert any("score" in name for name in trained)
    if adapter != "head":
        assert any(".h.0." in name for name in trained)
    if adapter != "full":
        assert not any(name.endswith(("wte.weight", "original_module.weight")) for name in trained)


@pytest.mark.parametrize("adapter", ["lora", "qlora", "full"])
def test_gradient_checkpointing_changes_no_number(adapter: str, configure: Configure, labels: LabelSpace) -> None:
    base_models = BaseModelCache("cpu")

    def gradients(checkpointing: bool) -> dict[str, Tensor]:
        config = configure("gpt2", adapter, trainer={"gradient_checkpointing": checkpointing})
        with base_models.model(TrainSettings.of(config), labels) as model:
            inner = model.get_base_model() if isinstance(model, PeftModel) else model
            assert isinstance(inner, GPT2ForSequenceClassification)
            assert inner.transformer.gradient_checkpointing is checkpointing
            assert inner.config.use_cache is False
            first_loss(model, base_models.tokenizer(config.model)).backward()
            return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}

    with_it, without = gradients(True), gradients(False)
    assert with_it.keys() == without.keys()
    assert all(torch.allclose(with_it[name], without[name], atol=1e-6) for name in with_it)


@pytest.mark.parametrize("adapter", ["lora", "qlora", "ia3", "head"])
def test_head_is_float32_over_a_half_base(adapter: str, configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure("llama", adapter, model={"dtype": "bfloat16"})
    with base_models.model(TrainSettings.of(config), labels) as model:
        kinds = {name: weight.dtype for name, weight in model.named_parameters()}
        assert kinds[next(name for name in kinds if name.endswith("embed_tokens.weight"))] == torch.bfloat16
        trained = {weight.dtype for weight in model.parameters() if weight.requires_grad}
        assert trained == {torch.float32}
        assert model(**batch(base_models.tokenizer(config.model))).logits.dtype == torch.float32
        train(model, base_models.tokenizer(config.model))


def test_auto_dtype_is_float32_on_the_cpu(configure: Configure, labels: LabelSpace) -> None:
    base_models = BaseModelCache("cpu")
    for adapter in ("lora", "full"):
        with base_models.model(TrainSettings.of(configure("llama", adapter)), labels) as model:
            assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    with base_models.model(TrainSettings.of(configure("llama", "full", model={"dtype": "bfloat16"})), labels) as model:
        assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("method", ["lora", "ia3", "head"])
def test_the_trainer_takes_a_quantised_base(
    method: str, checkpointing: bool, configure: Configure, labels: LabelSpace, tmp_path: Path
) -> None:
    config = configure("gpt2", "qlora", adapter={"method": method}, trainer={"gradient_checkpointing": checkpointing})
    base_models = BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(config.model)
    rows = [{**tokenizer(text), "labels": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    options = TrainingArguments(
        tmp_path, use_cpu=True, max_steps=2, report_to=[], save_strategy="no", disable_tqdm=True
    )
    with base_models.model(TrainSettings.of(config), labels) as model:
        before = trainable_state(model)
        Trainer(model, options, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer)).train()
        after = trainable_state(model)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before if "score" in name)


def test_config_names_the_labels(configure: Configure) -> None:
    many = LabelSpace("multi_label", ("joy", "fear"))
    base_models, config = BaseModelCache("cpu"), configure("gpt2", "full")
    with base_models.model(TrainSettings.of(config), many) as model:
        assert isinstance(model, GPT2ForSequenceClassification)
        assert model.config.id2label == {0: "joy", 1: "fear"}
        assert model.config.label2id == {"joy": 0, "fear": 1}
        assert model.config.num_labels == 2
        assert model.config.problem_type == "multi_label_classification"
        tokenizer = base_models.tokenizer(config.model)
        assert model.config.pad_token_id == tokenizer.pad_token_id == tokenizer.eos_token_id
        rows = {**batch(tokenizer), "labels": torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])}
        assert torch.isfinite(model(**rows).loss)


@pytest.mark.parametrize(
    ("names", "kept"), [(("balance", "card", "fees"), True), (("x", "y", "z"), False), (("x",), False)]
)
def test_a_trained_head_is_kept_for_its_own_labels_only(
    names: tuple[str, ...], kept: bool, configure: Configure, labels: LabelSpace, tmp_path: Any
) -> None:
    base_models, config = BaseModelCache("cpu"), configure("distilbert", "full")
    with base_models.model(TrainSettings.of(config), labels) as model:
        model.save_pretrained(tmp_path / "trained")
        base_models.tokenizer(config.model).save_pretrained(tmp_path / "trained")
        trained = model.classifier.weight.detach().clone()
    other = configure("distilbert", model={"path": str(tmp_path / "trained")}, trainer={"seed": 9})
    with base_models.model(TrainSettings.of(other), LabelSpace("single_label", names)) as model:
        classifier = model.get_submodule("base_model.model.classifier.modules_to_save.default")
        assert classifier.weight.shape[0] == len(names)
        assert torch.equal(classifier.weight, trained) if kept else not torch.equal(classifier.weight[:1], trained[:1])


def test_model_is_unusable_after_its_context(configure: Configure, labels: LabelSpace) -> None:
    base_models, config = BaseModelCache("cpu"), configure("bert")
    with base_models.model(TrainSettings.of(config), labels) as model:
        pass
    with pytest.raises(RuntimeError):
        logits(model, base_models.tokenizer(config.model))


def test_tokenizer_is_kept(configure: Configure) -> None:
    base_models = BaseModelCache("cpu")
    assert base_models.tokenizer(configure("bert").model) is base_models.tokenizer(configure("bert", "full").model)


def test_nothing_is_printed(configure: Configure, labels: LabelSpace, capfd: pytest.CaptureFixture[str]) -> None:
    base_models = BaseModelCache("cpu")
    for adapter in ADAPTERS:
        with base_models.model(
            TrainSettings.of(configure("gpt2", adapter, trainer={"gradient_checkpointing": True})), labels
        ):
            pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(UserError, match="trainer.device: is cuda, but torch sees no GPU"):
        BaseModelCache("cuda")
    assert BaseModelCache("auto").device == torch.device("cpu")
