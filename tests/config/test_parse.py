from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from support.configs import faults_of
from sweep.config.keys import keys
from sweep.config.parse import parse
from sweep.config.schema import Config


def test_a_plain_mapping_becomes_typed_values() -> None:
    config, faults = parse({"adapter": {"target_modules": ["query"]}, "optimizer": {"learning_rate": 1}}, str)
    assert not faults
    assert config.adapter.model_dump()["target_modules"] == ("query",)
    assert config.optimizer.learning_rate == 1.0


def test_all_faults_come_at_once_and_each_value_falls_back_to_its_default() -> None:
    tree = {
        "trainer": {"epochs": 3, "num_train_epochs": 0},
        "optimizer": {"learning_rate": "fast", "name": "adam"},
        "adapter": {"lora_dropout": 1.5, "target_modules": [1]},
    }
    config, _ = parse(tree, str)
    assert config == Config()
    found = faults_of(tree)
    assert set(found) == {
        "trainer.epochs", "trainer.num_train_epochs", "optimizer.learning_rate", "optimizer.name",
        "adapter.lora_dropout", "adapter.target_modules",
    }  # fmt: skip
    assert "num_train_epochs" in found["trainer.epochs"]
    assert found["optimizer.learning_rate"] == 'is "fast", but must be a valid number'
    assert "'paged_adamw_8bit'" in found["optimizer.name"]
    assert found["adapter.lora_dropout"] == "is 1.5, but must be less than 1"


def test_an_unknown_alert_is_refused_with_the_choices() -> None:
    found = faults_of({"tracker": {"alerts": ["fail", "best"]}})["tracker.alerts"]
    assert found == "is \"fail\", but must be 'end', 'failures' or 'best' (element 0) (did you mean failures?)"


@pytest.mark.parametrize("key", ["train_split", "label_column", "label_names"])
def test_a_list_of_names_holds_one_at_least(key: str) -> None:
    assert "at least 1 item" in faults_of({"dataset": {key: []}})[f"dataset.{key}"]


@pytest.mark.parametrize(
    ("section_name", "key", "value"),
    [("study", "n_trials", "5"), ("study", "n_trials", True), ("study", "n_trials", 1.5), ("trainer", "bf16", "yes")],
)
def test_nothing_is_coerced(section_name: str, key: str, value: object) -> None:
    assert f"{section_name}.{key}" in faults_of({section_name: {key: value}})


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_key_takes_a_number_that_json_cannot_hold(value: float) -> None:
    for key in keys():
        tree: Any = value
        for name in reversed(key.split(".")):
            tree = {name: tree}
        assert faults_of(tree), key


@pytest.mark.parametrize(
    ("tree", "path", "rule"),
    [
        (
            {"optimizer": {"learning_rate": math.inf}},
            "optimizer.learning_rate",
            "is Infinity, but must be a finite number",
        ),
        (
            {"dataset": {"max_train_samples": math.nan}},
            "dataset.max_train_samples",
            "is NaN, but must be a finite number",
        ),
        (
            {"study": {"enqueue": [{}, {"adapter.r": math.nan}]}},
            "study.enqueue[1].adapter.r",
            "is NaN, but must be a finite number",
        ),
        (
            {"study": {"sampler_options": {"weights": [1.0, math.nan]}}},
            "study.sampler_options.weights[1]",
            "is NaN, but must be a finite number",
        ),
        (
            {"adapter": {"method": "peft", "peft_type": "VERA", "options": {"r": math.nan}}},
            "adapter.options.r",
            "is NaN, but must be a finite number",
        ),
        (
            {"published": {"trials": [{"eval": {"eval/loss": math.inf}}]}},
            "published.trials[0].eval.eval/loss",
            "is Infinity, but must be a finite number",
        ),
    ],
)
def test_such_a_number_is_named_with_one_rule_wherever_it_is(tree: dict[str, Any], path: str, rule: str) -> None:
    assert faults_of(tree) == {path: rule}


def test_a_section_given_as_a_plain_value_is_a_fault() -> None:
    assert "adapter" in faults_of({"adapter": "lora"})
    assert "must be a mapping; dataset has: " in faults_of({"dataset": 3})["dataset"]


@pytest.mark.parametrize("name", ["optimizer.rate", "a.b.c", 1, 2.5, True, None])
def test_an_unknown_key_with_dots_or_of_another_kind_is_reported_once(name: object) -> None:
    """It has to be found again in the tree to go on without it."""
    config, faults = parse({"optimizer": {name: 2, "learning_rate": 0.5}}, lambda _: "")
    assert config.optimizer.learning_rate == 0.5
    assert ["is not a config key" in fault.message for fault in faults] == [True]


@pytest.mark.parametrize("value", [b"bytes", Path("a"), {1, 2}, "half \ud800"])
def test_values_that_yaml_gives_and_json_cannot_hold(value: object) -> None:
    config, faults = parse({"title": "x", "tracker": {"tags": ["a", value]}}, lambda _: "here")
    assert config.title == "x"
    assert [(fault.path, fault.origin) for fault in faults] == [("tracker.tags[1]", "here")]


@pytest.mark.parametrize(
    ("section_name", "key", "value", "inner", "rule"),
    [
        ("study", "limits", {"parameters.trained": "few"}, "parameters.trained", 'is "few", but must be a valid number'),
        ("study", "limits", {"parameters": {"trained": -1}}, "parameters.trained", "is -1, but must be greater than 0"),
        ("study", "limits", {"eval/loss": math.nan}, "eval.loss", "is NaN, but must be a finite number"),
        ("study", "limits", {"cost.seconds": "5"}, "cost.seconds",
         'is "5", but must be a valid number; write the number without quotes'),
        ("study", "limits", {"cost.seconds": None}, "cost.seconds", "is null, but must be a valid number"),
        ("optimizer", "optim_args", {"a": 1, "b": [2]}, "b",
         "is [2], but must be a valid boolean or a valid integer or a valid number or a valid string"),
        ("prompt", "label_words", {"yes": 1}, "yes",
         "is 1, but must be a valid string; a text is written in quotes: 'prompt.label_words.yes=\"1\"'"),
        ("tracker", "also", {"second": 3}, "second", "is 3, but must be a mapping"),
        ("study", "budget", {"seconds": "9"}, "seconds",
         'is "9", but must be a valid number; write the number without quotes'),
    ],
)  # fmt: skip
def test_a_value_within_a_mapping_is_named_with_its_own_key(
    section_name: str, key: str, value: object, inner: str, rule: str
) -> None:
    given = {"template": "{text} is"} if section_name == "prompt" else {}
    assert faults_of({section_name: {**given, key: value}}) == {f"{section_name}.{key}.{inner}": rule}


@pytest.mark.parametrize(("given", "taken"), [("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), (";", ";"), (None, None)])
def test_a_tab_may_be_written_in_words(given: str | None, taken: str | None) -> None:
    config, faults = parse({"dataset": {"delimiter": given}}, str)
    assert not faults and config.dataset.delimiter == taken
    assert (
        faults_of({"dataset": {"delimiter": ";;"}})["dataset.delimiter"] == 'is ";;", but must be one character, or tab'
    )


def test_a_value_is_shown_as_it_was_written_and_not_in_full() -> None:
    assert faults_of({"trainer": {"device": "größe"}})["trainer.device"].startswith('is "größe", but must be')
    assert "x…, but must be" in faults_of({"trainer": {"device": "x" * 10_000}})["trainer.device"]


@pytest.mark.parametrize("key", [b"bytes", (1, 2)])
def test_a_key_that_json_cannot_hold(key: object) -> None:
    config, faults = parse({"prompt": {"template": "{text}", "label_words": {key: "a", "b": "c"}}}, lambda _: "here")
    assert config.prompt is not None and config.prompt.label_words == {"b": "c"}
    assert [fault.message for fault in faults] == [f"has the key {key!r}, but a key must be a text or a number"]


def test_the_other_limits_stay_beside_a_faulty_one() -> None:
    config, faults = parse({"study": {"limits": {"cost": {"seconds": -1}, "eval/loss": 2}}}, str)
    assert config.study.limits == {"eval.loss": 2.0} and [fault.path for fault in faults] == [
        "study.limits.cost.seconds"
    ]
