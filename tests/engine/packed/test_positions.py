"""Packs of models that count positions from the id that pads, and a model that always calls its
pooler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LayoutLMConfig, LayoutLMForSequenceClassification

from support.packable import tiny
from support.packs import CLOSE, assert_alike, both, steady_plan
from sweep.data.tokenise import TokenisedData


@pytest.mark.usefixtures("in_double")
def test_a_word_that_pads_for_the_model_alone(data: TokenisedData, tmp_path: Path) -> None:
    """The model does not count this word, and the tokenizer pads with another id."""
    model = tiny("roberta", tmp_path / "roberta")
    file = model / "config.json"
    word = AutoTokenizer.from_pretrained(model).convert_tokens_to_ids("card")
    file.write_text(json.dumps({**json.loads(file.read_text()), "pad_token_id": word}))
    trials = [steady_plan(model, number, trainer={"seed": number, "num_train_epochs": 1}) for number in range(2)]
    found, expected = both(*trials, data=data, folder=tmp_path)
    assert_alike(found, expected)
    assert [found.outcome(number).cost.engine for number in range(2)] == ["packed", "packed"]


def test_a_class_that_does_not_ask_whether_it_has_a_pooler_goes_to_the_trainer(
    data: TokenisedData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny("bert", tmp_path / "layoutlm")
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        shape = LayoutLMConfig(vocab_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                               intermediate_size=64, max_position_embeddings=32, max_2d_position_embeddings=1024,
                               hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2)  # fmt: skip
        LayoutLMForSequenceClassification(shape).save_pretrained(model)
    target = {"target_modules": ("query", "value")}
    trials = [
        steady_plan(model, number, adapter=target, trainer={"seed": number, "num_train_epochs": 1})
        for number in range(2)
    ]
    found, expected = both(*trials, data=data, folder=tmp_path, slots=2)
    assert_alike(found, expected, 10 * CLOSE, weights=False)
    engines = {found.outcome(number).cost.engine for number in range(2)}
    assert engines == {"trainer"}
    assert "LayoutLMForSequenceClassification gives other logits when its rows are laid end to end" in caplog.text
