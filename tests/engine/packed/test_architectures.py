"""Packs on every architecture that ships, over plain and 4-bit bases, against the Trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoModelForSequenceClassification,
    BertModel,
    BloomConfig,
    BloomForSequenceClassification,
    GPTJConfig,
    GPTJForSequenceClassification,
)

from support.packable import PACKABLE, tiny
from support.packs import CLOSE, assert_alike, both, one_by_one, packed, steady_plan
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData
from sweep.engine.evaluation import predict
from sweep.engine.loss import mean_loss
from sweep.model.artifact import load
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import TrialPlan

NF4 = {"quantization": "nf4", "compute_dtype": "float32"}


def pair(model: Path, **adapter: Any) -> list[TrialPlan]:
    """LoRA and IA3, on batches of unlike size and length."""
    short = {"num_train_epochs": 1, "per_device_train_batch_size": 5, "seed": 1}
    return [
        steady_plan(model, 0, adapter={"r": 4, **adapter}, trainer={"num_train_epochs": 1.4}),
        steady_plan(model, 1, adapter={"method": "ia3", **adapter}, optimizer={"learning_rate": 2e-2}, trainer=short),
    ]


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("name", PACKABLE)
def test_in_double_precision(data: TokenisedData, tmp_path: Path, name: str) -> None:
    found, expected = both(*pair(tiny(name, tmp_path / name)), data=data, folder=tmp_path)
    assert_alike(found, expected)
    assert [found.outcome(number).cost.engine for number in range(2)] == ["packed", "packed"]


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("name", PACKABLE)
def test_every_linear_layer_adapted(data: TokenisedData, tmp_path: Path, name: str) -> None:
    trials = pair(tiny(name, tmp_path / name), target_modules="all-linear")
    found, expected = both(*trials, data=data, folder=tmp_path)
    assert_alike(found, expected)
    assert [found.outcome(number).cost.engine for number in range(2)] == ["packed", "packed"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKABLE)
def test_fifty_steps_on_a_plain_base(data: TokenisedData, tmp_path: Path, name: str) -> None:
    assert_losses_are_close(tiny(name, tmp_path / name), data, tmp_path, epochs=10)


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKABLE)
def test_fifty_steps_on_a_quantised_base(data: TokenisedData, tmp_path: Path, name: str) -> None:
    assert_losses_are_close(tiny(name, tmp_path / name), data, tmp_path, epochs=10, **NF4)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize("double", [True, False])
def test_on_a_quantised_base(data: TokenisedData, tmp_path: Path, name: str, double: bool) -> None:
    adapter = {**NF4, "double_quantization": double}
    assert_losses_are_close(tiny(name, tmp_path / name), data, tmp_path, epochs=1, **adapter)


def assert_losses_are_close(model: Path, data: TokenisedData, folder: Path, *, epochs: int, **adapter: Any) -> None:
    trainer = {"num_train_epochs": epochs}
    optimizer = {"learning_rate": 1e-3}
    trials = [
        steady_plan(model, 0, adapter=adapter, trainer=trainer, optimizer=optimizer),
        steady_plan(
            model, 1, adapter={"method": "ia3", **adapter}, trainer={**trainer, "seed": 1}, optimizer=optimizer
        ),
    ]
    found, expected = both(*trials, data=data, folder=folder)
    for number in range(2):
        assert len(found.losses(number)) == 5 * epochs
        assert found.losses(number) == pytest.approx(expected.losses(number), rel=CLOSE, abs=CLOSE)
        assert found.outcome(number).cost.engine == "packed"
    assert_alike(found, expected, 30 * CLOSE, weights=False)


@pytest.mark.slow
@pytest.mark.parametrize("compute_dtype", ["bfloat16", "float16"])
def test_a_quantised_base_that_computes_in_half(data: TokenisedData, tmp_path: Path, compute_dtype: str) -> None:
    trials = pair(tiny("llama", tmp_path / "llama"), quantization="nf4", compute_dtype=compute_dtype)
    found, expected = both(*trials, data=data, folder=tmp_path)
    for number in range(2):
        assert found.losses(number) == pytest.approx(expected.losses(number), abs=5e-2)
        assert found.outcome(number).cost.engine == "packed"


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_whichever_attention_is_asked_for(data: TokenisedData, tmp_path: Path, name: str, implementation: str) -> None:
    model = {"path": str(tiny(name, tmp_path / name)), "attn_implementation": implementation}
    trials = [steady_plan(tmp_path, number, model=model, trainer={"seed": number, "num_train_epochs": 1})
              for number in range(2)]  # fmt: skip
    assert_alike(*both(*trials, data=data, folder=tmp_path))


@pytest.mark.parametrize("name", ["bloom", "gptj"])
def test_a_model_of_another_make_comes_out_right(
    data: TokenisedData, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The attention of the model is code of its own. Where it cannot be packed, the Trainer trains
    it, and a warning says so."""
    model = tiny("gpt2", tmp_path / name)
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        if name == "bloom":
            shape: Any = BloomConfig(vocab_size=8, hidden_size=32, n_layer=2, n_head=2, initializer_range=0.2,
                                     hidden_dropout=0.0, attention_dropout=0.0, bos_token_id=0, eos_token_id=0)  # fmt: skip
            BloomForSequenceClassification(shape).save_pretrained(model)
        else:
            shape = GPTJConfig(vocab_size=8, n_positions=32, n_embd=32, n_layer=2, n_head=2, rotary_dim=8,
                               initializer_range=0.2, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
                               bos_token_id=0, eos_token_id=0)  # fmt: skip
            GPTJForSequenceClassification(shape).save_pretrained(model)
    trials = [steady_plan(model, number, trainer={"seed": number, "num_train_epochs": 1}) for number in range(3)]
    found, expected = both(*trials, data=data, folder=tmp_path, slots=2)
    assert_alike(found, expected, 10 * CLOSE, weights=False)
    engines = {found.outcome(number).cost.engine for number in range(3)}
    assert engines == {"packed"} or (engines == {"trainer"} and "Trainer" in caplog.text)


def test_rows_longer_than_any_that_were_compared(
    data: TokenisedData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A model limits its attention to a window by a mask alone. Trials whose rows are cut to the
    window are packed; one whose rows are longer goes to the Trainer, and the others go on."""
    model, trainer = tiny("qwen2_moe", tmp_path / "qwen2_moe"), {"num_train_epochs": 1}
    cut = {"max_length": 4}
    trials = [
        steady_plan(model, 0, trainer=trainer, dataset=cut),
        steady_plan(model, 1, trainer={**trainer, "seed": 1}),
        steady_plan(model, 2, trainer={**trainer, "seed": 2}, dataset=cut),
    ]
    found, expected = both(*trials, data=data, folder=tmp_path)
    assert_alike(found, expected, 10 * CLOSE, weights=False)
    assert [found.outcome(number).cost.engine for number in range(3)] == ["packed", "trainer", "packed"]
    assert "gives other logits when its rows are laid end to end" in caplog.text


def test_a_validation_row_longer_than_all_others(data: TokenisedData, tmp_path: Path) -> None:
    """The longest row is among those compared. A difference that only it shows keeps the trial out
    of the pack."""
    model = tiny("qwen2_moe", tmp_path / "qwen2_moe")
    train = replace(data.splits.train, texts=tuple(" ".join(text.split()[:4]) for text in data.splits.train.texts))
    rows = TokenisedData(replace(data.splits, train=train), tmp_path / "tokens")
    found, expected = both(steady_plan(model, trainer={"num_train_epochs": 1}), data=rows, folder=tmp_path)
    assert_alike(found, expected, CLOSE)
    assert found.outcome(0).cost.engine == "trainer"


@pytest.mark.usefixtures("in_double")
def test_a_pooler_that_every_trial_has_of_its_own(data: TokenisedData, tmp_path: Path) -> None:
    """The checkpoint lacks the pooler: it is drawn from the trial's seed, and trained."""
    model = tiny("bert", tmp_path / "bert")
    BertModel.from_pretrained(model, add_pooling_layer=False).save_pretrained(model)
    found, expected = both(*pair(model), data=data, folder=tmp_path)
    assert any("pooler" in name for name in expected.newest[0])
    assert_alike(found, expected)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize("adapter", [{}, NF4], ids=["plain", "nf4"])
def test_a_saved_adapter_is_the_trials_own(
    data: TokenisedData, tmp_path: Path, name: str, adapter: dict[str, Any]
) -> None:
    """The saved adapter gives the trial's scores, loaded by this program and by PEFT alone on a
    plain base."""
    model = tiny(name, tmp_path / name)
    shared: dict[str, Any] = {
        "study": {"metric": "eval/loss", "direction": "minimize"},
        "optimizer": {"learning_rate": 2.0, "lr_scheduler_type": "constant"},
    }
    trainer = {"max_grad_norm": 0.0, "eval_strategy": "steps", "eval_steps": 1, "num_train_epochs": 1}
    trials = [
        steady_plan(model, 0, adapter={"r": 4, **adapter}, trainer=trainer, **shared),
        steady_plan(model, 1, adapter={"method": "ia3", **adapter}, trainer={**trainer, "seed": 1}, **shared),
    ]
    found = packed(*trials, data=data, folder=tmp_path / "runs")
    for trial in trials:
        evals = found.outcome(trial.number).evals
        best = min(evals, key=lambda point: point.metrics["eval/loss"])
        for kept, point in (("best", best), ("newest", evals[-1])):
            folder = tmp_path / "runs" / str(trial.number) / kept
            loaded, tokenizer = load(folder)
            assert loss_of(loaded, tokenizer, trial, data) == pytest.approx(point.metrics["eval/loss"], rel=1e-3)
            if not adapter:
                plain = AutoModelForSequenceClassification.from_pretrained(
                    model, num_labels=4, pad_token_id=tokenizer.pad_token_id, ignore_mismatched_sizes=True
                )
                by_peft = PeftModel.from_pretrained(plain, folder)
                assert loss_of(by_peft, tokenizer, trial, data) == pytest.approx(point.metrics["eval/loss"], rel=1e-3)


def loss_of(model: Any, tokenizer: Any, trial: TrialPlan, data: TokenisedData) -> float:
    collate = collator(tokenizer, data.splits.labels)
    rows = data.validation(tokenizer, None)
    return predict(model, rows, collate=collate, batch_size=32, loss=mean_loss(trial.settings)).loss


@pytest.mark.parametrize("name", PACKABLE)
def test_under_autocast(data: TokenisedData, tmp_path: Path, name: str) -> None:
    """Rotary embeddings leave queries and keys in float32, while values are in bfloat16."""
    trials = [steady_plan(tiny(name, tmp_path / name), trainer={"num_train_epochs": 1, "bf16": True})]
    found, expected = packed(*trials, data=data), one_by_one(*trials, data=data)
    assert found.outcome(0).cost.engine == "packed"
    assert found.losses(0) == pytest.approx(expected.losses(0), rel=0.05)


def test_other_methods_and_other_bases_beside_those_that_pack(data: TokenisedData, tmp_path: Path) -> None:
    """Each trial gets the numbers that it gets alone, and two bases are never in memory
    together."""
    model, other = tiny("gpt2", tmp_path / "gpt2"), tiny("bert", tmp_path / "bert")
    words = {"card": " card", "cash": " cash", "fees": " fees", "other": " limit"}
    prompt = {"template": "{text} login", "label_words": words}
    trainer = {"num_train_epochs": 1}
    trials = [
        steady_plan(model, 0, trainer={"num_train_epochs": 2}),
        steady_plan(model, 1, trainer=trainer, adapter={"method": "full"}, optimizer={"learning_rate": 1e-4}),
        steady_plan(model, 2, trainer=trainer, adapter={"method": "head"}),
        steady_plan(model, 3, trainer=trainer, prompt=prompt),
        steady_plan(other, 4, trainer=trainer),
        steady_plan(model, 5, trainer=trainer, adapter={"method": "ia3"}),
        steady_plan(model, 6, trainer=trainer, adapter=NF4),
        steady_plan(model, 7, trainer=trainer),
    ]
    found, expected = both(*trials, data=data, folder=tmp_path, slots=3)
    assert_alike(found, expected, 20 * CLOSE, weights=False)
    engines = [found.outcome(number).cost.engine for number in range(8)]
    assert [engines[number] for number in (0, 1, 2, 4, 5, 6, 7)] == [
        "packed", "trainer", "frozen", "packed", "packed", "packed", "packed",
    ]  # fmt: skip
    order = [one.number for one in found.said if one.kind == "step" and one.what.step]
    for alone in (1, 2, 4, 6):
        mine = [index for index, number in enumerate(order) if number == alone]
        assert mine == list(range(mine[0], mine[0] + len(mine))), f"trial {alone} has its base to itself"


def test_the_base_is_left_as_it_was(data: TokenisedData, tmp_path: Path) -> None:
    """A trial that the Trainer trains afterwards on the same base gets the numbers of a new
    base."""
    model, base_models = tiny("gpt2", tmp_path / "gpt2"), BaseModelCache("cpu")
    packed(*pair(model, **NF4), data=data, base_models=base_models)
    after = steady_plan(model, 5, adapter=NF4, trainer={"num_train_epochs": 1})
    found = one_by_one(after, data=data, base_models=base_models)
    assert found.events(5) == one_by_one(after, data=data).events(5)


@pytest.mark.gpu
def test_on_a_gpu(data: TokenisedData, tmp_path: Path) -> None:
    trials = pair(tiny("gpt2", tmp_path / "gpt2"))
    found = packed(*trials, data=data, base_models=BaseModelCache("cuda"))
    expected = one_by_one(*trials, data=data, base_models=BaseModelCache("cuda"))
    for number in range(2):
        assert found.losses(number) == pytest.approx(expected.losses(number), rel=1e-3, abs=1e-3)
