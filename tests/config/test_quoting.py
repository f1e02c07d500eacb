"""Values written as Hydra's overrides."""

from __future__ import annotations

import shlex

import pytest

from support.plans import QUICK
from sweep.config.compose import Composer
from sweep.config.quoting import quoted, typed

TEXTS = [
    "plain", "with space", "it's", 'say "so"', """it's "so" """, "a,b", "null", "true", "nan", "1e5", "", "a=b",
    "back\\slash", "ends\\", "ends\\'", 'ends\\"', "größe", "naïve/路径.csv", "two\nlines\\\n", "~/home", "$HOME", "#5", "{x}",
]  # fmt: skip


@pytest.mark.parametrize("value", [*TEXTS, 3, -2, 1e-05, True, False, None], ids=repr)
def test_quoting_survives_hydra(value: object) -> None:
    tree = Composer().compose([QUICK, f"title={quoted(value)}", f"tracker.tags=[{quoted(value)}]"]).resolved()
    assert tree["title"] == value
    assert tree["tracker"]["tags"] == [value]


@pytest.mark.parametrize("key", ["plain", "two words", "a.b/c-d", "with,comma", "a:b", "(x)", "a=b", "back\\slash"])
def test_the_keys_of_a_mapping_survive_it_too(key: str) -> None:
    given = f"prompt.label_words={quoted({key: ' a, b'})}"
    tree = Composer().compose([QUICK, "prompt.template='{text}'", given]).resolved()
    assert tree["prompt"]["label_words"] == {key: " a, b"}


def test_an_override_as_a_shell_takes_it() -> None:
    assert typed("dataset.label_names", ["0", "no way"]) == """'dataset.label_names=["0","no way"]'"""
    assert typed("study.study_name", "mine") == "study.study_name=mine"
    assert shlex.split(typed("title", "it's")) == ['title="it\'s"']
