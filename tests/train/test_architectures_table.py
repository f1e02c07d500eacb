"""The table of architectures in docs/models.md: every row is what a tiny model of the architecture really does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from architectures import ARCHITECTURES, tiny_model
from packs import CLOSE, assert_alike, both, packed, steady_plan
from sweep.data.tokenise import TokenisedData

GUIDE = Path(__file__).parents[2] / "docs" / "models.md"
_ROW = re.compile(r"^\| `([\w-]+)` \| (yes|no) \| (yes|no) \|$", re.MULTILINE)
TABLE = {name: (packs == "yes", cached == "yes") for name, packs, cached in _ROW.findall(GUIDE.read_text())}


def test_the_table_names_all_that_are_tried() -> None:
    assert list(TABLE) == sorted(ARCHITECTURES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_row_is_true(name: str, data: TokenisedData, tmp_path: Path) -> None:
    """What packs gives the Trainer's numbers; what does not is trained by the Trainer all the same."""
    assert tried(name, data, tmp_path) == TABLE[name]


def tried(name: str, data: TokenisedData, folder: Path) -> tuple[bool, bool]:
    """Whether LoRA trials pack, and whether a head is trained on cached features."""
    model, short = tiny_model(name, folder / "model"), {"num_train_epochs": 1}
    adapter = {"r": 4, "target_modules": "all-linear"}
    trials = [steady_plan(model, number, adapter=adapter, trainer={**short, "seed": number}) for number in range(2)]
    found, expected = both(*trials, data=data, folder=folder)
    assert_alike(found, expected, 10 * CLOSE, weights=False)
    (engine,) = {found.outcome(number).cost.engine for number in range(2)}
    head = packed(steady_plan(model, adapter={"method": "head"}, trainer=short), data=data)
    return engine == "packed", head.outcome(0).cost.engine == "frozen"
