"""Values changed in a composed config: the same as OmegaConf would make of them."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from sweep.config.compose import Composer
from sweep.config.composed import Composed, Tree
from sweep.errors import UserError


@pytest.fixture(scope="module")
def composed() -> Composed:
    return Composer().compose(["+experiment=quickstart"])


def by_omegaconf(composed: Composed) -> Any:
    return OmegaConf.to_container(composed.tree, resolve=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer.learning_rate": 1e-3, "trainer.num_train_epochs": 2, "trainer.bf16": True, "title": "other"},
        {"adapter.r": None, "adapter.dropout": 0.5, "new.part.of": 3, "title.below": "a text"},
        {"study.study_name": "named"},  # run_dir follows it
        {"run_dir": "here"},
        {"title": "${study.study_name}"},
        {"title": "???"},
        {"dataset": 3},
        {"trainer": {"num_train_epochs": 5}},
        {"study.enqueue": [{"x": 1}], "study.enqueue.more": 2.5},
        {"study.enqueue.0.x": 2.5},
        {"study.enqueue.more": 2.5},
        {"new.0.of": 3},
    ],
)
def test_changes_are_those_of_omegaconf(composed: Composed, changes: dict[str, Any]) -> None:
    try:
        expected = by_omegaconf(composed.updated(changes))
    except Exception as error:
        with pytest.raises(type(error)):
            composed.updated(changes).resolved()
        return
    found = composed.updated(changes).resolved()
    assert found == expected and repr(found) == repr(expected)


def test_a_value_that_follows_a_changed_one_is_filled_in_anew(composed: Composed) -> None:
    assert composed.updated({"study.study_name": "named"}).resolved()["run_dir"] == "runs/named"
    assert composed.resolved()["run_dir"] == "runs/quickstart"
    assert composed.updated({"title": "a"}).updated({"title": "b", "run_dir": "c"}).resolved()["title"] == "b"


def test_the_first_config_is_not_changed(composed: Composed) -> None:
    before = by_omegaconf(composed)
    changed = composed.updated({"optimizer.learning_rate": 7.0})
    changed.resolved()["optimizer"]["learning_rate"] = 8.0
    assert changed.resolved()["optimizer"]["learning_rate"] == changed.value("optimizer.learning_rate") == 7.0
    assert by_omegaconf(composed) == composed.resolved() == before
    assert composed.value("optimizer.learning_rate") == before["optimizer"]["learning_rate"]


def test_a_value_is_that_of_the_changed_config(composed: Composed) -> None:
    named = composed.updated({"study.study_name": "named", "title": "${study.study_name}", "adapter.r": 3})
    assert [named.value(key) for key in ("run_dir", "title", "adapter.r")] == ["runs/named", "named", 3]
    plain = composed.updated({"title": "a text", "adapter.dropout": None})
    assert [plain.value(key) for key in ("run_dir", "title", "adapter.dropout")] == ["runs/quickstart", "a text", None]
    assert plain.value("no.such.key") is None and "tree" not in vars(plain)  # which takes milliseconds


def test_a_place_in_a_list_is_left_to_omegaconf() -> None:
    changed = Composed(Tree(OmegaConf.create({"points": [{"x": 1}, {"x": 2}]})), {}).updated({"points.1.x": 3})
    assert changed.resolved() == {"points": [{"x": 1}, {"x": 3}]}


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${a.${b}}", "${.b}", "\\${a}"])
def test_other_interpolations_are_left_to_omegaconf(text: str) -> None:
    tree = OmegaConf.create({"a": {"c": 1}, "b": "c", "text": text})
    found = Composed(Tree(tree), {}).updated({"b": "c"})
    assert found.resolved() == OmegaConf.to_container(tree, resolve=True)


def test_an_interpolation_that_names_nothing_is_a_fault() -> None:
    found = Composed(Tree(OmegaConf.create({"a": 1, "text": "${nowhere}"})), {})
    for one in (found, found.updated({"a": 2})):
        with pytest.raises(UserError, match="nowhere"):
            one.resolved()
