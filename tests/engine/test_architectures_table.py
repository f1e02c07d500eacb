"""The table of architectures in docs/models.md: every row is what a tiny model of the architecture
really does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.architectures import ARCHITECTURES, rates, save_architecture, word_tokenizer
from support.packable import byte_pair_tokenizer
from support.packs import CLOSE, assert_alike, both, packed, steady_plan
from support.trials import WORDS
from sweep.data.tokenise import TokenisedData

GUIDE = Path(__file__).parents[2] / "docs" / "models.md"
_ROW = re.compile(r"^\| `([\w-]+)` \| (yes|without dropout|no) \| (yes|no) \|$", re.MULTILINE)
TABLE = {name: (packs, cached) for name, packs, cached in _ROW.findall(GUIDE.read_text())}
# Where PEFT has adapters for layers of attention alone: a router is a linear layer that gives
# several things.
TARGETS = dict.fromkeys(("mixtral", "phimoe", "qwen2_moe"), ("q_proj", "v_proj"))


def test_the_table_is_sorted_and_names_what_can_be_tried() -> None:
    assert len(TABLE) >= 60 and list(TABLE) == sorted({*TABLE} & {*ARCHITECTURES})


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_a_row_is_true(name: str, data: TokenisedData, tmp_path: Path) -> None:
    """An architecture that packs gives the Trainer's numbers; any other is trained by the
    Trainer."""
    assert tried(name, data, tmp_path) == TABLE[name]


def tried(name: str, data: TokenisedData, folder: Path) -> tuple[str, str]:
    """Return the table's claims: whether LoRA trials pack, and whether a head trains on cached
    features."""
    model, short = saved(name, folder / "model", dropout=0.0), {"num_train_epochs": 1}
    adapter = {"r": 4, "target_modules": TARGETS.get(name, "all-linear")}
    trials = [steady_plan(model, number, adapter=adapter, trainer={**short, "seed": number}) for number in range(2)]
    found, expected = both(*trials, data=data, folder=folder)
    assert_alike(found, expected, 10 * CLOSE, weights=False)
    (packs,) = {found.outcome(number).cost.engine == "packed" for number in range(2)}
    shaky = saved(name, folder / "shaky", dropout=0.1)
    drops = packed(steady_plan(shaky, adapter=adapter, trainer=short), data=data).outcome(0).cost.engine == "packed"
    head = packed(steady_plan(model, adapter={"method": "head"}, trainer=short), data=data).outcome(0).cost.engine
    return "yes" if drops else "without dropout" if packs else "no", "yes" if head == "frozen" else "no"


def saved(name: str, folder: Path, *, dropout: float) -> Path:
    """Return a tiny model with the words of the tests' data."""
    tokenizer = byte_pair_tokenizer(folder) if name == "qwen2" else word_tokenizer(words=WORDS)
    changes = {**rates(name, dropout), **({"position_embedding_type": "rotary"} if name == "esm" else {})}  # as ESM-2
    save_architecture(name, folder, tokenizer, **changes).save_pretrained(folder)
    return folder
