"""The table of architectures in docs/models.md: every row is what a tiny model of the architecture really does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from architectures import ARCHITECTURES, TARGETS, tiny_model
from packs import CLOSE, assert_alike, both, packed, steady_plan
from sweep.data.tokenise import TokenisedData

GUIDE = Path(__file__).parents[2] / "docs" / "models.md"
_ROW = re.compile(r"^\| `([\w-]+)` \| (yes|without dropout|no) \| (yes|no) \|$", re.MULTILINE)
TABLE = {name: (packs, cached) for name, packs, cached in _ROW.findall(GUIDE.read_text())}


def test_the_table_names_all_that_are_tried() -> None:
    assert list(TABLE) == sorted(ARCHITECTURES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_row_is_true(name: str, data: TokenisedData, tmp_path: Path) -> None:
    """What packs gives the Trainer's numbers; what does not is trained by the Trainer all the same."""
    assert tried(name, data, tmp_path) == TABLE[name]


def tried(name: str, data: TokenisedData, folder: Path) -> tuple[str, str]:
    """Whether LoRA trials pack, and whether a head is trained on cached features."""
    model, short = tiny_model(name, folder / "model"), {"num_train_epochs": 1}
    adapter = {"r": 4, "target_modules": TARGETS.get(name, "all-linear")}
    trials = [steady_plan(model, number, adapter=adapter, trainer={**short, "seed": number}) for number in range(2)]
    found, expected = both(*trials, data=data, folder=folder)
    assert_alike(found, expected, 10 * CLOSE, weights=False)
    (packs,) = {found.outcome(number).cost.engine == "packed" for number in range(2)}
    shaky = tiny_model(name, folder / "shaky", dropout=0.1)
    drops = packed(steady_plan(shaky, adapter=adapter, trainer=short), data=data).outcome(0).cost.engine == "packed"
    head = packed(steady_plan(model, adapter={"method": "head"}, trainer=short), data=data).outcome(0).cost.engine
    return "yes" if drops else "without dropout" if packs else "no", "yes" if head == "frozen" else "no"
