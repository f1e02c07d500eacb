"""The limit of tokens in a row, compared with the length that each architecture really takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from support.architectures import ARCHITECTURES, ENCODER_DECODERS, POSITIONS, save_architecture, word_tokenizer
from sweep.config.schema import ModelConfig
from sweep.model.tokenizer import load_tokenizer

BEHIND_THE_PADDING = (
    "camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "roberta", "xlm-roberta", "xmod",
)  # fmt: skip
ABSOLUTE = (
    "albert", "bert", "biogpt", "convbert", "ctrl", "electra", "gpt2", "gpt_neo", "gptj", "layoutlm", "mpt", "opt",
    "nystromformer", "openai-gpt", "rembert", "roformer", "xlm", "yoso", "bart", "bigbird_pegasus",
)  # fmt: skip


def takes(model: nn.Module, length: int) -> bool:
    tokens = torch.full((1, length), 7)
    tokens[:, -1] = 2
    try:
        with torch.no_grad():
            model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    except (RuntimeError, IndexError, ValueError):
        return False
    return True


def limit_of(folder: Path) -> int:
    return int(load_tokenizer(ModelConfig(path=str(folder))).model_max_length)


@pytest.mark.parametrize(
    ("name", "kept"),
    [*((name, 0) for name in ABSOLUTE), *((name, 1) for name in BEHIND_THE_PADDING), ("mpnet", 2)],  # MPNet's pads by 1
)
def test_the_limit_is_what_the_embeddings_take(name: str, kept: int, tmp_path: Path) -> None:
    model, limit = save_architecture(name, tmp_path, word_tokenizer()), POSITIONS - kept
    assert limit_of(tmp_path) == limit
    assert (takes(model, limit), takes(model, limit + 1)) == (True, False)


@pytest.mark.parametrize(
    "name", sorted({*ARCHITECTURES} - {*ABSOLUTE, *BEHIND_THE_PADDING, "mpnet", "xlnet", "canine"})
)
def test_no_limit_is_more_than_an_architecture_takes(name: str, tmp_path: Path) -> None:
    """For relative and rotary positions the limit is the length in the config."""
    model = save_architecture(name, tmp_path, word_tokenizer())
    assert limit_of(tmp_path) == POSITIONS and takes(model, POSITIONS)


@pytest.mark.parametrize("pad", [1, 5])
def test_roberta_counts_from_behind_its_own_padding(pad: int, tmp_path: Path) -> None:
    model = save_architecture("roberta", tmp_path, word_tokenizer(), pad_token_id=pad)
    assert limit_of(tmp_path) == POSITIONS - pad - 1
    assert takes(model, POSITIONS - pad - 1) and not takes(model, POSITIONS - pad)


def test_a_tokenizer_may_know_less(tmp_path: Path) -> None:
    tokenizer: Any = word_tokenizer()
    tokenizer.model_max_length = 12
    save_architecture("roberta", tmp_path, tokenizer)
    assert limit_of(tmp_path) == 12


def test_all_encoder_decoders_are_looked_at() -> None:
    assert {*ENCODER_DECODERS} < {*ARCHITECTURES}
