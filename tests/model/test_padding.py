"""No score depends on the batch that a text is in, whatever side its tokenizer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PretrainedConfig

from support import tiny
from support.architectures import ARCHITECTURES, WORDS, save_architecture, word_tokenizer
from sweep.config.schema import Config, ModelConfig
from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows
from sweep.data.tokenise import tokenise
from sweep.model.artifact import load, save
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.padding import padding_of
from sweep.model.tokenizer import load_tokenizer

WITH_ITS_OWN = ("qwen2",)  # transformers gives it a tokenizer of its own, which knows none of the words
LABELS = LabelSpace("single_label", ("a", "b", "c"))
TEXTS = tuple(" ".join(WORDS[start : start + count]) for start, count in ((3, 6), (40, 1), (8, 14), (60, 2), (20, 9)))


def scores(model: nn.Module, tokenizer: Any, folder: Path, *, at_once: int, max_length: int | None = None) -> Tensor:
    """Return the scores of an evaluation."""
    rows = Rows(TEXTS, None, (0,) * len(TEXTS))
    found = tokenise(rows, tokenizer, labels=LABELS, max_length=max_length, cache=folder)
    collate, starts = collator(tokenizer, LABELS), range(0, len(TEXTS), at_once)
    batches = [collate([found[row] for row in range(start, min(start + at_once, len(TEXTS)))]) for start in starts]
    with torch.no_grad():
        return torch.cat([model(**{**batch, "labels": None}).logits for batch in batches])


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *((name, "left") for name in ARCHITECTURES if name not in WITH_ITS_OWN),
        *((name, "right") for name in ("bert", "gpt2", "xlnet", "t5")),
    ],
)
def test_a_text_alone_scores_what_it_scores_in_a_batch(name: str, side: str, tmp_path: Path) -> None:
    model = save_architecture(name, tmp_path / "model", word_tokenizer(side))
    tokenizer = load_tokenizer(ModelConfig(path=str(tmp_path / "model")))
    alone, together = (scores(model, tokenizer, tmp_path / "tokens", at_once=count) for count in (1, 5))
    assert alone.std(0).max() > 1e-2  # which says nothing of texts that all score the same
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["first", "last", "mean"])
@pytest.mark.parametrize("name", ["xlm", "xlnet"])
def test_heads_that_pool_as_their_config_says(name: str, kind: str, tmp_path: Path) -> None:
    model = save_architecture(name, tmp_path / "model", word_tokenizer("left"), summary_type=kind)
    tokenizer = load_tokenizer(ModelConfig(path=str(tmp_path / "model")))
    alone, together = (scores(model, tokenizer, tmp_path / "tokens", at_once=count, max_length=24) for count in (1, 5))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_tokenizer_that_gives_no_mask_is_made_to(tmp_path: Path) -> None:
    """BERT would read the padding."""
    plain = word_tokenizer()
    plain.model_input_names = ["input_ids"]
    model = save_architecture("bert", tmp_path / "model", plain)
    tokenizer = load_tokenizer(ModelConfig(path=str(tmp_path / "model")))
    alone, together = (scores(model, tokenizer, tmp_path / "tokens", at_once=count) for count in (1, 5))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_an_architecture_with_code_of_its_own_is_left_as_it_is() -> None:
    class OwnConfig(PretrainedConfig):
        model_type = "own"

    assert padding_of(OwnConfig()) is None


@pytest.mark.parametrize("adapter", ["lora", "head", "full"])
def test_the_saved_tokenizer_pads_as_the_study_did(adapter: str, tmp_path: Path) -> None:
    """The padding is the same for every loader, in a batch or alone."""
    folder = tiny.tiny_gpt2(tmp_path / "gpt2")
    left = AutoTokenizer.from_pretrained(folder, padding_side="left")
    left.save_pretrained(folder)
    config = Config.model_validate({"model": {"path": str(folder)}, "adapter": {"method": adapter}})
    base_models, texts = (
        BaseModelCache("cpu"),
        ["please top up my card", "fee", "how do i change the pin of my new card"],
    )
    with base_models.model(TrainSettings.of(config), LABELS) as model:
        save(model, base_models.tokenizer(config.model), tmp_path / "saved", config=config, labels=LABELS)
    loaded, tokenizer = load(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").padding_side == tokenizer.padding_side == "right"
    with torch.no_grad():
        alone = torch.cat([loaded(**tokenizer(text, return_tensors="pt")).logits for text in texts])
        together = loaded(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_card_pads_in_full_where_padding_is_read(tmp_path: Path) -> None:
    model = save_architecture("fnet", tmp_path / "fnet", word_tokenizer())
    model.save_pretrained(tmp_path / "fnet")
    config = Config.model_validate({"model": {"path": str(tmp_path / "fnet")}, "adapter": {"method": "head"}})
    base_models = BaseModelCache("cpu")
    with base_models.model(TrainSettings.of(config), LABELS) as trained:
        save(trained, base_models.tokenizer(config.model), tmp_path / "saved", config=config, labels=LABELS)
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "padding='max_length', truncation=True" in card and "padding=True" not in card
