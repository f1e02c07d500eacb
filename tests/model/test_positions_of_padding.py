"""Models that count positions from the id that pads, whose tokenizer pads with another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig as Auto
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedConfig

from support.passes import logits, train
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.labels import LabelSpace
from sweep.model.account import unwrapped
from sweep.model.architecture import counts_from_padding, fit
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache

Configure = Callable[..., Config]
COUNTING = [
    "camembert", "data2vec-text", "esm", "ibert", "lilt", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
    "xlm-roberta", "xlm-roberta-xl", "xmod",
]  # fmt: skip
OTHERS = ["bert", "distilbert", "deberta-v2", "electra", "gpt2", "llama", "modernbert", "t5", "bart"]


@pytest.mark.parametrize("kind", COUNTING + OTHERS)
def test_who_counts_from_padding(kind: str) -> None:
    assert counts_from_padding(Auto.for_model(kind)) == (kind in COUNTING)


def fitted(config: PreTrainedConfig, labels: LabelSpace) -> int:
    fit(config, labels, pad_token_id=0)
    assert isinstance(config.pad_token_id, int)
    return config.pad_token_id


@pytest.mark.parametrize(("own", "kept"), [(1, 1), (5, 5), (None, 0), (-1, 0), (10**6, 0)])
def test_a_pad_token_that_is_a_word_is_kept(own: int | None, kept: int, labels: LabelSpace) -> None:
    config = Auto.for_model("roberta", vocab_size=50)
    config.pad_token_id = own
    assert fitted(config, labels) == kept
    assert fitted(BertConfig(vocab_size=50, pad_token_id=5), labels) == 0


@pytest.fixture
def roberta(configure: Configure, tmp_path: Path) -> Config:
    """Its config names [UNK] as the token that pads, its tokenizer [PAD]; the latter would pad on
    the left."""
    folder = tmp_path / "roberta"
    shutil.copytree(configure("roberta").model.path, folder)
    for name, change in (("config.json", {"pad_token_id": 1}), ("tokenizer_config.json", {"padding_side": "left"})):
        facts = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**facts, **change}))
    return configure("roberta", model={"path": str(folder)})


def test_positions_are_those_of_the_checkpoint(roberta: Config, labels: LabelSpace, tmp_path: Path) -> None:
    base_models, texts = BaseModelCache("cpu"), ["my card is lost", "help", "fee xyz bank xyz"]
    tokenizer = base_models.tokenizer(roberta.model)
    assert tokenizer.pad_token_id == 0
    own = AutoModelForSequenceClassification.from_pretrained(roberta.model.path, num_labels=3)
    with base_models.model(TrainSettings.of(roberta), labels) as model, torch.no_grad():
        inner = unwrapped(model)
        assert inner.config.pad_token_id == inner.roberta.embeddings.padding_idx == 1
        together = inner.roberta(**tokenizer(texts, padding=True, return_tensors="pt")).last_hidden_state[:, 0]
        for text, row in zip(texts, together, strict=True):
            alone = own.roberta(**tokenizer([text], return_tensors="pt")).last_hidden_state[0, 0]
            torch.testing.assert_close(row, alone, rtol=0, atol=1e-5)


def test_saved_and_loaded(roberta: Config, labels: LabelSpace, tmp_path: Path) -> None:
    base_models = BaseModelCache("cpu")
    tokenizer = base_models.tokenizer(roberta.model)
    with base_models.model(TrainSettings.of(roberta), labels) as model:
        train(model, tokenizer)
        save(model, tokenizer, tmp_path / "saved", config=roberta, labels=labels)
        scores = logits(model, tokenizer)
    again, same = load(tmp_path / "saved")
    assert torch.equal(logits(again, same), scores)
    assert same.padding_side == "right"
