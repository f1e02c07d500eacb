"""Label words as one graph, compared with the scorer that trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from support.random_winners import ROWS, winner
from support.tiny import ADAPTERS
from sweep.export.scores import prompt_of
from sweep.export.traced import traceable
from sweep.model import artifact

ONE_TOKEN = {"balance": " money", "card": " card", "fees": " fee"}
SEVERAL = {"balance": " money", "card": " my card", "fees": " new exchange fee"}


@pytest.mark.parametrize(("words", "scoring"), [(ONE_TOKEN, "sum"), (SEVERAL, "sum"), (SEVERAL, "mean")])
def test_scores_are_those_of_the_scorer(
    words: dict[str, str], scoring: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    prompt = {"template": "{text} is about", "label_words": words, "scoring": scoring}
    scorer, tokenizer = artifact.load(winner(tmp_path, folders["gpt2"], ADAPTERS["lora"], prompt=prompt).model)
    bound = prompt_of(scorer)
    assert bound is not None
    batch = bound.batch(tokenizer, [text for text, _ in ROWS])
    expected = scorer(**batch).logits
    found = traceable(scorer, ("input_ids", "attention_mask"))(batch["input_ids"], batch["attention_mask"])
    assert torch.allclose(found, expected, atol=1e-5)
