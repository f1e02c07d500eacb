from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from support import plans
from sweep.config.compose import Composer
from sweep.errors import UserError


def faults_of(*overrides: str, config_dirs: tuple[Path, ...] = ()) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        Composer(config_dirs).compose(overrides)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_an_experiment_changes_the_groups_it_names() -> None:
    composed = Composer().compose(["+experiment=dialogpt_qlora"])
    assert composed.choices["adapter"] == "qlora"
    assert composed.choices["experiment"] == "dialogpt_qlora"
    assert composed.resolved()["run_dir"] == "runs/dialogpt_qlora"


def test_the_command_line_wins_over_the_experiment() -> None:
    tree = (
        Composer()
        .compose(["+experiment=quickstart", "study.study_name=mine", "optimizer.learning_rate=3e-4"])
        .resolved()
    )
    assert (tree["study"]["study_name"], tree["run_dir"]) == ("mine", "runs/mine")
    assert tree["optimizer"]["learning_rate"] == 3e-4


@pytest.mark.parametrize("group", sorted({*Composer().groups} - {"experiment"}))
def test_every_option_that_ships_composes_alone(group: str) -> None:
    for option in Composer().groups[group]:
        composed = Composer().compose([f"{group}={option}"])
        assert composed.choices[group] == option and composed.resolved()


def test_an_experiment_without_its_plus_is_explained() -> None:
    assert faults_of("experiment=quickstart")["experiment"].startswith("write +experiment=quickstart")


def test_every_wrong_group_is_named_at_once_with_what_there_is() -> None:
    found = faults_of("+experiment=quick", "adapter=lara")
    assert "quickstart" in found["experiment"]
    assert "did you mean lora?" in found["adapter"]


def test_a_sweep_on_the_command_line_points_to_the_search_space() -> None:
    assert "study.space" in faults_of("optimizer.learning_rate=choice(1,2)")["optimizer.learning_rate"]


def test_an_override_that_cannot_be_read_is_a_fault() -> None:
    assert "key=value" in faults_of("optimizer.learning_rate")["optimizer.learning_rate"]


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("~trainer", "~trainer", "trainer=NAME, one of: default, gpu_bf16"),
        ("~adapter=lora", "~adapter", "adapter=NAME"),
        ("~prompt", "~prompt", "one of: label, none"),
        ("~experiment", "~experiment", "leave both out"),
        ("~optimizer.learning_rate", "~optimizer.learning_rate", "optimizer.learning_rate=VALUE"),
        ("~model.shrink", "~model.shrink", "model.shrink=VALUE"),
        ("hydra.run.dir=x", "hydra.run.dir", "use run_dir=DIR"),
        ("+hydra.zzz=1", "hydra.zzz", "leave it out"),
        ("++hydra.searchpath=[x]", "hydra.searchpath", "--config-dir"),
        ("hydra/launcher=joblib", "hydra/launcher", "engine.slots"),
        ("hydra/sweeper=optuna", "hydra/sweeper", "study.sampler"),
        ("~hydra.verbose", "hydra.verbose", "Hydra's own runner"),
    ],
)
def test_an_override_without_effect_is_refused_with_what_to_type(override: str, path: str, expected: str) -> None:
    assert expected in faults_of("+experiment=quickstart", override)[path]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (f"study.n_trials={'1' * 5000}", "too many digits"),
        (f"title={'[' * 300}{']' * 300}", "is nested more than 40 deep"),
        (f"study.sampler_options={'{a:' * 1500}1{'}' * 1500}", "is nested more than 40 deep"),
        ("=3", "has no key"),
    ],
)
def test_an_override_that_python_cannot_hold_is_a_fault(override: str, expected: str) -> None:
    (message,) = faults_of(override, "adapter=lora").values()
    assert expected in message


def test_an_entry_of_an_open_mapping_can_be_taken_away() -> None:
    composed = Composer().compose(
        ["study.sampler_options={gamma:1,n_startup_trials:2}", "~study.sampler_options.gamma"]
    )
    assert composed.resolved()["study"]["sampler_options"] == {"n_startup_trials": 2}


def test_an_own_config_that_sets_up_hydra_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    file.write_text("# @package _global_\nhydra: {run: {dir: x}}\n")
    assert "run_dir" in faults_of("+experiment=mine", config_dirs=(tmp_path,))["hydra"]


def test_own_configs_add_to_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "mine.yaml").write_text("method: lora\nr: 3\n")
    composer = Composer((tmp_path,))
    assert composer.compose(["adapter=mine"]).resolved()["adapter"] == {"method": "lora", "r": 3}


def test_an_own_config_with_a_shipped_name_is_refused_instead_of_ignored(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "lora.yaml").write_text("method: lora\nr: 5\n")
    assert "lora.yaml has the name of a config that ships" in faults_of(config_dirs=(tmp_path,))["--config-dir"]


def test_a_config_dir_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert "is not a folder" in faults_of(config_dirs=(tmp_path / "none",))["--config-dir"]


def test_an_interpolation_to_nowhere_is_a_fault() -> None:
    with pytest.raises(UserError, match="nowhere"):
        Composer().compose(["run_dir=${nowhere}"]).resolved()


def test_a_value_that_has_to_be_given_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "tickets.yaml").write_text("path: ???\ntext_column: ???\n")
    composer = Composer((tmp_path,))
    with pytest.raises(UserError) as caught:
        composer.compose(["dataset=tickets"]).resolved()
    assert [str(fault) for fault in caught.value.faults] == [
        f"{key}: is ???, which stands for a value that must be given; type {key}=VALUE"
        for key in ("dataset.path", "dataset.text_column")
    ]
    given = composer.compose(["dataset=tickets", "dataset.path=x"]).updated({"dataset.text_column": "body"}).resolved()
    assert (given["dataset"]["path"], given["dataset"]["text_column"]) == ("x", "body")


@pytest.mark.parametrize("name", ["study", "trainer", "optimizer"])
def test_a_section_that_a_file_leaves_empty_is_named(name: str, tmp_path: Path) -> None:
    """Interpolations to its keys lead nowhere, which says less."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        f"# @package _global_\ndefaults: [quickstart, _self_]\n{name}:\n"
    )
    found = plans.faults_of("+experiment=mine", "--config-dir", str(tmp_path))
    assert [*found] == [name] and f"{name} has: " in found[name]


def test_a_remembered_config_equals_a_composed_one_and_stays_the_same() -> None:
    composer, overrides = Composer(), ["+experiment=quickstart", "adapter=ia3"]
    assert composer.remembered(overrides).updated({"adapter.feedforward_modules": "none"}).resolved()
    again = composer.remembered(overrides)
    assert again.resolved() == composer.compose(overrides).resolved()
    assert again.choices["adapter"] == "ia3"
    assert composer.remembered(overrides[:1]).choices["adapter"] == "lora"


@pytest.mark.parametrize("opened", ["[", "{a:", "[{a:"])
def test_an_override_nested_too_deep_is_refused(opened: str) -> None:
    closed = "".join({"[": "]", "{": "}"}.get(letter, "") for letter in reversed(opened))
    found = faults_of(f"study.enqueue={opened * 300}1{closed * 300}")
    assert found == {"study.enqueue": "is nested more than 40 deep"}


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("study.sampler_options=[]", "study.sampler_options",
         "must be a mapping; type 'study.sampler_options={n_startup_trials: 5}'"),
        ("study.limits=[3]", "study.limits", "must be a mapping; type 'study.limits={predict.latency_ms: 5}'"),
        ("study.stop=[3]", "study.stop",
         "must be a mapping; type study.stop.patience=VALUE or study.stop.expected_gain=VALUE"),
        ("study.enqueue={a: 1}", "study.enqueue",
         "must be a list; type 'study.enqueue=[{optimizer.learning_rate: 1.0e-4}]'"),
        ("tracker.tags={a: 1}", "tracker.tags", "must be a list, such as [first,second]"),
        ("tracker.tags.0=x", "tracker.tags[0]", "is an element of a list, which is given as a whole: tracker.tags=[…]"),
    ],
)  # fmt: skip
def test_a_list_for_a_mapping_and_the_reverse_name_the_key(override: str, path: str, expected: str) -> None:
    assert faults_of(override) == {path: expected}


@pytest.mark.parametrize(
    ("override", "typed"),
    [
        ("dataset.delimiter=;", """'dataset.delimiter=";"'"""),
        ("dataset.text_column=Catégorie", """'dataset.text_column="Catégorie"'"""),
        ("dataset.path=~/rows", """'dataset.path="~/rows"'"""),
        ("title=a=b", """'title="a=b"'"""),
    ],
)
def test_a_text_that_wants_quotes_is_shown_with_them(override: str, typed: str) -> None:
    assert f"(type {typed})" in faults_of(override)[override]
    (words,) = shlex.split(typed)
    key, _, value = override.partition("=")
    assert OmegaConf.select(Composer().compose([words]).tree, key) == value


@pytest.mark.parametrize("override", ["title={", "title=[x", "title='a", "title", "=x"])
def test_others_are_not(override: str) -> None:
    (expected,) = faults_of(override).values()
    assert "(type " not in expected


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("optimizer=lion_32bit", "; type optimizer.name=lion_32bit"),
        ("+experiment=tickets", "; for experiment/tickets.yaml in a folder of your own, add --config-dir FOLDER"),
        ("adapter=loraa", " (did you mean lora?)"),
    ],
)
def test_an_option_that_no_file_has_is_refused_with_what_to_type(override: str, hint: str) -> None:
    (message,) = faults_of(override).values()
    assert message.endswith(hint)


def test_an_experiment_without_its_first_line_is_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("defaults:\n  - override /model: minilm\n")
    found = faults_of("+experiment=mine", config_dirs=(tmp_path,))
    assert found["experiment/mine"].startswith("must begin with the line '# @package _global_'")


@pytest.mark.parametrize("name", ["it's", "it\\'s", "end\\", "a]b,c ${x}"])
def test_a_folder_of_any_name_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name / "dataset").mkdir(parents=True)
    (tmp_path / name / "dataset" / "mine.yaml").write_text("path: tickets\n")
    composed = Composer((tmp_path / name,)).compose(["dataset=mine"])
    assert composed.resolved()["dataset"]["path"] == "tickets"
