"""Trials with label words, and the scores of their base before it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2LMHeadModel

from support import own_metrics, tiny
from support.snapshots import TakenUp
from support.trials import Watcher, make_plan, retrained
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows, Splits
from sweep.data.tokenise import TokenisedData, tokenise
from sweep.engine.evaluation import Measured
from sweep.engine.untrained import before
from sweep.model.base_model_cache import BaseModelCache
from sweep.provenance import DataState
from sweep.records.trial import Completed

TEXTS = ("please help with my lost card", "a fee is charge for the bank transfer", "how do i change the old pin")
WORDS = {"card": " card", "fees": " fee charge", "pin": " pin"}
PROMPT = {"template": "{text} what is this ?", "label_words": WORDS}
FULL = {"method": "full"}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without dropout, and with embeddings large enough that, frozen, they can still say
    anything."""
    folder = tiny.tiny_gpt2(tmp_path_factory.mktemp("tiny-gpt2"))
    model = GPT2LMHeadModel.from_pretrained(folder, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(20)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def words_data(tmp_path_factory: pytest.TempPathFactory) -> TokenisedData:
    """The label follows from the words of a text."""
    labels = LabelSpace("single_label", tuple(WORDS))

    def rows(count: int, kept: int) -> Rows:
        texts = [" ".join(TEXTS[i % 3].split()[-kept - i % 2 :]) for i in range(count)]
        return Rows(tuple(texts), None, tuple(i % 3 for i in range(count)))

    splits = Splits(labels, rows(48, 4), rows(21, 3), None, DataState("toy", "", "", {}, labels.names))
    return TokenisedData(splits, tmp_path_factory.mktemp("tokens"))


def run(model_dir: Path, data: TokenisedData, **sections: Any) -> Completed:
    trainer = {"num_train_epochs": 4, **sections.pop("trainer", {})}
    trial = make_plan(model_dir, prompt=PROMPT, trainer=trainer, **sections)
    outcome = Watcher().run(trial, base_models=BaseModelCache("cpu"), data=data)
    assert isinstance(outcome, Completed)
    return outcome


@pytest.mark.parametrize("adapter", [FULL, {"method": "lora", "target_modules": "all-linear", "r": 8}], ids=str)
def test_label_words_learn(model_dir: Path, words_data: TokenisedData, adapter: dict[str, Any]) -> None:
    rate = 5e-3 if adapter is FULL else 1e-2
    outcome = run(model_dir, words_data, adapter=adapter, optimizer={"learning_rate": rate})
    assert outcome.best.metrics["eval/accuracy"] > 0.9
    assert outcome.cost.flops > 0


def test_training_and_validation_loss_are_the_same_quantity(model_dir: Path, words_data: TokenisedData) -> None:
    """At a learning rate near zero, both sets of scores come from one model."""
    splits = words_data.splits
    same = Splits(splits.labels, splits.validation, splits.validation, None, splits.state)
    data = TokenisedData(same, words_data.cache)
    for scoring in ("sum", "mean"):
        trial = make_plan(
            model_dir,
            prompt={**PROMPT, "scoring": scoring},
            adapter={"method": "ia3", "target_modules": ("c_attn",)},
            optimizer={"learning_rate": 1e-12},
            trainer={"num_train_epochs": 1, "per_device_train_batch_size": 7, "gradient_accumulation_steps": 3},
        )
        watcher = Watcher()
        outcome = watcher.run(trial, base_models=BaseModelCache("cpu"), data=data)
        assert isinstance(outcome, Completed) and outcome.cost.train_loss is not None
        assert outcome.cost.train_loss == pytest.approx(outcome.best.metrics["eval/loss"], rel=1e-4)


def test_label_words_go_on_from_a_snapshot(model_dir: Path, words_data: TokenisedData) -> None:
    trial = make_plan(model_dir, prompt=PROMPT, adapter={"method": "lora", "lora_dropout": 0.2})
    TakenUp(trial, BaseModelCache("cpu"), words_data).check(4, 6)


@pytest.mark.parametrize("adapter", [{"method": "lora"}, {"method": "lora", "quantization": "nf4"}, FULL], ids=str)
def test_before_is_the_base_whatever_is_trained(
    model_dir: Path, words_data: TokenisedData, adapter: dict[str, Any]
) -> None:
    base_models = BaseModelCache("cpu")
    trial = make_plan(model_dir, prompt=PROMPT, adapter=adapter, trainer={"num_train_epochs": 1})
    tokenizer, prompt = (
        base_models.tokenizer(trial.config.model),
        base_models.prompt(trial.settings, words_data.splits.labels),
    )
    test = tokenise(
        words_data.splits.train,
        tokenizer,
        labels=words_data.splits.labels,
        max_length=None,
        cache=words_data.cache,
        prompt=prompt,
    )
    untouched = before(trial.settings, base_models=base_models, data=words_data, test=test)
    with retrained(trial, base_models=base_models, data=words_data) as done:
        again = before(trial.settings, base_models=base_models, data=words_data, test=test)
        assert done.predict(test).loss != untouched.values["test/loss"]
    assert again == untouched
    assert {name.split("/")[0] for name in untouched.values} == {"eval", "test"} and untouched.values["eval/loss"] > 1


def test_a_new_head_has_nothing_to_say_before_it_is_trained(model_dir: Path, words_data: TokenisedData) -> None:
    base_models, trial = BaseModelCache("cpu"), make_plan(model_dir)
    rows = words_data.validation(base_models.tokenizer(trial.config.model), None)
    assert before(trial.settings, base_models=base_models, data=words_data, test=rows) == Measured({})


def test_a_metric_that_fails_for_the_base_alone_is_left_out_alone(
    model_dir: Path, words_data: TokenisedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On validation rows too: the test split was read by then."""
    base_models, metrics = BaseModelCache("cpu"), ("sometimes.rows", "sometimes.counted", "mcc")
    trial = make_plan(model_dir, prompt=PROMPT, dataset={"metrics": metrics})
    labels, tokenizer = words_data.splits.labels, base_models.tokenizer(trial.config.model)
    rows = words_data.validation(tokenizer, None, base_models.prompt(trial.settings, labels))
    with own_metrics.module(tmp_path, monkeypatch, failing=(1, 2)):
        found = before(trial.settings, base_models=base_models, data=words_data, test=rows)
    assert list(found.failed) == ["eval/counted", "test/counted"]
    assert list(found.computed)[-2:] == ["test/rows", "test/mcc"]
    assert (found.computed["eval/rows"], "eval/counted" in found.computed) == (21, False)
