"""Padding, and the length limit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support import tiny
from sweep.config.schema import Config, ModelConfig
from sweep.errors import UserError
from sweep.model.tokenizer import load_tokenizer

Configure = Callable[..., Config]


@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_end_of_text_pads_where_nothing_else_does(model: str, configure: Configure) -> None:
    tokenizer = load_tokenizer(configure(model).model)
    assert tokenizer.pad_token == tokenizer.eos_token
    rows = tokenizer(["my card", "my"], padding=True)["input_ids"]
    assert rows[1][-1] == tokenizer.eos_token_id


def test_own_pad_token_is_kept(configure: Configure) -> None:
    assert load_tokenizer(configure("bert").model).pad_token == "[PAD]"


def test_pad_token_beyond_the_embeddings(configure: Configure, tmp_path: Path) -> None:
    """Some chat models have a pad token in the tokenizer, but no row for it in the embeddings."""
    folder = tmp_path / "model"
    shutil.copytree(configure("llama").model.path, folder)
    tokenizer = load_tokenizer(ModelConfig(path=str(folder)))
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)
    assert load_tokenizer(ModelConfig(path=str(folder))).pad_token == "<|end|>"


def test_limit_is_the_number_of_positions(configure: Configure) -> None:
    assert load_tokenizer(configure("gpt2").model).model_max_length == tiny.LIMIT


def test_nothing_to_pad_with(configure: Configure, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(configure("gpt2").model.path, folder)
    file = folder / "tokenizer_config.json"
    kept = {name: value for name, value in json.loads(file.read_text()).items() if name != "eos_token"}
    file.write_text(json.dumps(kept))
    with pytest.raises(UserError, match="neither a pad token nor an end-of-text token"):
        load_tokenizer(ModelConfig(path=str(folder)))
