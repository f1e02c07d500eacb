from __future__ import annotations

from typing import Any

import pytest

from support.configs import faults_of
from sweep.config.hints import ALSO_CALLED, mapping_hint
from sweep.config.keys import is_key, keys


@pytest.mark.parametrize(
    ("tree", "rule"),
    [
        ({"dataset": {"metrics": "mine.f1"}}, "must be a list; type 'dataset.metrics=[mine.f1]'"),
        ({"tracker": {"tags": "two words"}}, """must be a list; type 'tracker.tags=["two words"]'"""),
        ({"adapter": {"target_modules": "q"}}, "must be a list or 'all-linear'; type 'adapter.target_modules=[q]'"),
        ({"adapter": {"layers_to_transform": 3}}, "must be a list; type 'adapter.layers_to_transform=[3]'"),
        ({"dataset": {"metrics": 3}}, "must be a list"),
        ({"study": {"enqueue": "a"}}, "must be a list; type 'study.enqueue=[{optimizer.learning_rate: 1.0e-4}]'"),
        ({"study": {"enqueue": [3]}},
         "must be a mapping (element 0); type 'study.enqueue=[{optimizer.learning_rate: 1.0e-4}]'"),
        ({"study": {"sampler_options": 3}}, "must be a mapping; type 'study.sampler_options={n_startup_trials: 5}'"),
        ({"study": {"limits": 3}}, "must be a mapping; type 'study.limits={predict.latency_ms: 5}'"),
        ({"study": {"budget": 3}},
         "must be a mapping; type study.budget.device_hours=VALUE or study.budget.trials=VALUE or study.budget.seconds=VALUE"),
        ({"prompt": {"template": "{text}", "label_words": 3}},
         "must be a mapping; type 'prompt.label_words={NAME: VALUE}'"),
        ({"published": {"trials": [3]}}, "must be a mapping (element 0); each one has: params, eval, best, eval_by_epoch"),
    ],
)  # fmt: skip
def test_a_plain_value_in_place_of_a_list_or_mapping_is_refused_with_what_to_type(
    tree: dict[str, Any], rule: str
) -> None:
    (found,) = faults_of(tree).values()
    assert found.partition("but ")[2] == rule


def test_a_key_that_is_no_mapping_has_no_hint_for_one() -> None:
    assert [mapping_hint(key) for key in ("optimizer.learning_rate", "dataset.metrics", "nothing")] == [""] * 3
    assert mapping_hint("optimizer.optim_args") == "; type 'optimizer.optim_args={NAME: VALUE}'"


@pytest.mark.parametrize(
    ("given", "meant"), [("lionn", "lion_8bit"), ("lion", "lion_8bit"), ("adamw_toch", "adamw_torch")]
)
def test_a_name_with_an_ending_is_guessed_without_it(given: str, meant: str) -> None:
    assert f"(did you mean {meant}?)" in faults_of({"optimizer": {"name": given}})["optimizer.name"]


@pytest.mark.parametrize(
    ("tree", "rule"),
    [
        ({"study": {"study_name": 2024}}, """is 2024, but must be a valid string; a text is written in quotes: """
         """'study.study_name="2024"'"""),
        ({"dataset": {"label_names": [0, 1]}}, "is 0, but must be a valid string (element 0); a text is written in quotes: "
         """'dataset.label_names=["0","1"]'"""),
        ({"dataset": {"label_names": [False, True]}}, "is false, but must be a valid string (element 0); a text is written in "
         """quotes: "false", and in a YAML file "yes", "no", "on" and "off" too"""),
        ({"model": {"revision": 12e10}}, "is 120000000000.0, but must be a valid string; a text is written in quotes: "
         """'model.revision="…"'"""),
        ({"title": {"a": 1}}, 'is {"a": 1}, but must be a valid string'),
    ],
)  # fmt: skip
def test_a_text_that_was_read_as_a_number_or_a_truth_value(tree: dict[str, Any], rule: str) -> None:
    assert [*faults_of(tree).values()] == [rule]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("learning_rate", [1e-4, 1e-3], "{choices: [0.0001, 0.001]}"),
        ("learning_rate", {"low": 1e-4, "high": 1e-3, "log": True}, "{low: 0.0001, high: 0.001, log: true}"),
        ("name", ["sgd", "adafactor"], '{choices: ["sgd", "adafactor"]}'),
    ],
)
def test_values_to_search_belong_in_a_search_space(key: str, value: object, shown: str) -> None:
    message = faults_of({"optimizer": {key: value}})[f"optimizer.{key}"]
    assert message.endswith(
        f"; what is searched stands in a file, named by study.space=FILE, as optimizer.{key}: {shown}"
    )
    assert "study.space" not in faults_of({"optimizer": {key: {"a": 1}}})[f"optimizer.{key}"]
    assert "study.space" not in faults_of({"study": {"n_trials": [1, 2]}})["study.n_trials"]


@pytest.mark.parametrize(
    ("tree", "question"),
    [
        ({"learning_rate": 1e-4}, "did you mean optimizer.learning_rate?"),
        ({"trainer": {"weight_decay": 0.1}}, "did you mean optimizer.weight_decay?"),
        ({"adapter": {"folds": 5}}, "did you mean dataset.folds?"),
        ({"seed": 1}, "did you mean dataset.seed or trainer.seed or study.seed?"),
        ({"optimizer": {"lr": 1e-4}}, "did you mean optimizer.learning_rate?"),
        ({"adapter": {"rank": 8}}, "did you mean adapter.r?"),
        ({"trainer": {"num_train_epoch": 8}}, "did you mean num_train_epochs?"),
    ],
)
def test_a_key_in_another_section_or_with_another_name_is_guessed(tree: dict[str, Any], question: str) -> None:
    (message,) = faults_of(tree).values()
    assert f"({question})" in message


def test_the_names_of_other_programs_lead_to_keys() -> None:
    assert all(is_key(key) for key in ALSO_CALLED.values())
    assert not [name for name in ALSO_CALLED if any(key.rpartition(".")[2] == name for key in keys())]


@pytest.mark.parametrize(("section_name", "key"), [("study", "n_trials"), ("dataset", "max_train_samples")])
def test_a_whole_number_with_an_exponent_is_refused_with_the_number(section_name: str, key: str) -> None:
    message = faults_of({section_name: {key: 1e3}})[f"{section_name}.{key}"]
    assert message.endswith(f"; type {section_name}.{key}=1000")
    assert "type" not in faults_of({section_name: {key: 1.5}})[f"{section_name}.{key}"]


def test_a_number_in_place_of_one_of_given_texts_is_none_in_quotes() -> None:
    assert "quotes" not in faults_of({"study": {"sampler": 3}})["study.sampler"]
