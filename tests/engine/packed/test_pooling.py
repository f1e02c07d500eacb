"""The vector of a row that a pack gives its heads is the one that the Trainer's model gives
them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from support.packable import tiny
from support.packs import assert_alike, both, packed, steady_plan
from sweep.data.splits import Rows
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed.agreement import fitting
from sweep.engine.packed.batch import PackedBatch, Row
from sweep.errors import first_line
from sweep.model.features import NotPackable
from sweep.model.pooling import BY_KIND, OWN, PackedStates, PaddedStates, Pool

DECODERS = ("gpt2", "llama", "gemma", "qwen2")
SHORT = {"num_train_epochs": 1}


def edited(data: TokenisedData, cache: Path, **splits: Any) -> TokenisedData:
    """Return data in which the texts of some splits are changed."""
    made = {}
    for name, change in splits.items():
        rows: Rows = getattr(data.splits, name)
        made[name] = replace(rows, texts=tuple(change(number, text) for number, text in enumerate(rows.texts)))
    return TokenisedData(replace(data.splits, **made), cache)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("pooling", [None, "last"])
def test_texts_that_end_with_the_token_that_pads(
    data: TokenisedData, tmp_path: Path, name: str, pooling: str | None
) -> None:
    """Heads of causal models read the token before the padding; `last` reads the very last one."""

    def some(number: int, text: str) -> str:
        return f"{text} <|end|>" if number % 5 == 3 else text

    model = {"path": str(tiny(name, tmp_path / name)), "pooling": pooling}
    trials = [steady_plan(tmp_path, number, model=model, trainer={**SHORT, "seed": number}) for number in range(2)]
    rows = edited(data, tmp_path / "tokens", train=some, validation=some)
    found, expected = both(*trials, data=rows, folder=tmp_path)
    assert_alike(found, expected)
    assert [found.outcome(number).cost.engine for number in range(2)] == ["packed", "packed"]


@pytest.mark.parametrize("pooling", [None, "mean", "cls", "last"])
@pytest.mark.parametrize("half", ["autocast", "base"])
def test_in_half_precision_where_logits_are_small(
    data: TokenisedData, tmp_path: Path, pooling: str | None, half: str
) -> None:
    """With the class's own initialisation the logits of all poolings are within a twentieth of
    each other. First tokens then differ by no more than autocast rounds, so that the Trainer may
    be left with them."""
    model = tiny("distilbert", tmp_path / "model")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        shape = DistilBertConfig.from_pretrained(model, dim=64, hidden_dim=128, n_heads=1, initializer_range=0.02)
        DistilBertForSequenceClassification(shape).save_pretrained(model)
    chosen = {"path": str(model), "pooling": pooling, "dtype": "bfloat16" if half == "base" else "auto"}
    trainer = {**SHORT, "bf16": half == "autocast"}
    found, expected = both(steady_plan(tmp_path, 0, model=chosen, trainer=trainer), data=data, folder=tmp_path)
    if half == "base" or pooling in ("mean", "last"):
        assert found.outcome(0).cost.engine == "packed"
    ours, theirs = (run.outcome(0).evals[-1].metrics["eval/loss"] for run in (found, expected))
    assert ours == pytest.approx(theirs, abs=5e-3)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize(("pooling", "engine"), [(None, "trainer"), ("mean", "packed")])
def test_rows_of_one_token_do_not_tell_how_a_class_pools(
    data: TokenisedData, tmp_path: Path, pooling: str | None, engine: str
) -> None:
    first = {split: lambda _, text: text.split()[0] for split in ("train", "validation")}
    rows = edited(data, tmp_path / "tokens", **first)
    model = {"path": str(tiny("gpt2", tmp_path / "gpt2")), "pooling": pooling}
    found, expected = both(steady_plan(tmp_path, 0, model=model, trainer=SHORT), data=rows, folder=tmp_path)
    assert found.outcome(0).cost.engine == engine
    assert_alike(
        found, expected, weights=False
    )  # queries of one token have no gradient but rounding, which Adam makes much of


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_text_without_a_token_goes_to_the_trainer(data: TokenisedData, tmp_path: Path, split: str) -> None:
    rows = edited(data, tmp_path / "tokens", **{split: lambda number, text: "" if number == 3 else text})
    found = packed(steady_plan(tiny("gpt2", tmp_path / "gpt2"), trainer=SHORT), data=rows)
    assert found.outcome(0).cost.engine == "trainer"


def test_the_closest_is_taken_only_where_it_is_alone() -> None:
    right = torch.tensor([[0.01, 0.0], [0.0, 0.02]])
    near, far = right + 1e-4, right.flip(0)
    assert fitting("A", [None, far, near], right, 0.1) == 2
    for found, said in (
        ([far, far], "other logits"),
        ([near, right], "do not show which pooling"),
        ([None], "other logits"),
    ):
        with pytest.raises(NotPackable, match=said):
            fitting("A", found, right, 0.1)
    with pytest.raises(NotPackable) as same:
        fitting("A", [right[:1].expand(2, 2)], right[:1].expand(2, 2), 0.1)
    assert "same logits" in first_line(same.value)
    with pytest.raises(NotPackable):
        fitting("A", [torch.full_like(right, torch.nan)], right, 0.1)


LENGTHS = ([5, 1], [3], [4, 2])
PAD = 0


@pytest.mark.parametrize("kind", ["mean", "cls", "last", "own first", "own last", "own mean"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_padded_and_the_packed_variant_of_a_kind_agree(kind: str, dtype: torch.dtype) -> None:
    """Some rows end with the token that pads; the own pooling of causal models skips it."""
    pools: dict[str, Pool] = {**dict(BY_KIND.items()), **{f"own {name}": pool for name, pool in OWN.items()}}
    pool = pools[kind]
    rows = [Row(np.arange(1, length + 1)) for one in LENGTHS for length in one]
    rows[0].tokens[-1] = rows[3].tokens[-1] = PAD
    counts = np.cumsum([0, *(len(one) for one in LENGTHS)])
    batch = PackedBatch([rows[start:end] for start, end in pairwise(counts)], torch.device("cpu"))
    hidden = torch.randn(batch.tokens, 6, dtype=dtype)
    ids, mask = torch.full((5, 5), PAD), torch.zeros(5, 5, dtype=torch.long)
    padded = torch.full((5, 5, 6), 7.0, dtype=dtype)
    for number, (row, start) in enumerate(zip(rows, batch.starts, strict=True)):
        ids[number, : len(row)] = torch.from_numpy(row.tokens)
        mask[number, : len(row)] = 1
        padded[number, : len(row)] = hidden[start : start + len(row)]
    found = pool.packed(PackedStates(hidden, batch, PAD, pooler=lambda states: states))
    torch.testing.assert_close(found, pool.padded(PaddedStates(padded, mask, ids, PAD)))
    if pool.reads is not None:
        assert torch.equal(found, hidden[pool.reads(batch, PAD)])
