"""Config files in the user's own folders that Hydra would pass over, or fail on without a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.plans import QUICK, faults_of
from sweep.config.own_files import folder_faults
from sweep.config.space import find
from sweep.errors import UserError
from sweep.plan.plan import make_plan


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_with_the_other_ending_of_yaml_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "optimizer/mine.yml", "learning_rate: 1e-3\n")
    message = faults_of(QUICK, "optimizer=mine", "--config-dir", str(tmp_path))["optimizer"]
    assert f"; {file} must end in .yaml, which alone Hydra reads" in message


def test_a_file_beside_the_folder_of_its_group_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.yaml", "learning_rate: 1e-3\n")
    message = faults_of(QUICK, "optimizer=mine", "--config-dir", str(tmp_path))["optimizer"]
    assert f"; {file} is in no folder of that group; move it to {tmp_path}/optimizer" in message


def test_the_folder_of_a_group_in_place_of_its_parent_is_named(tmp_path: Path) -> None:
    write(tmp_path / "optimizer/mine.yaml", "learning_rate: 1e-3\n")
    message = faults_of(QUICK, "optimizer=mine", "--config-dir", f"{tmp_path}/optimizer")["optimizer"]
    assert f"name its parent: --config-dir {tmp_path}" in message


def test_a_search_space_beside_its_folder_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.yaml", "adapter.r: {choices: [4]}\n")
    with pytest.raises(UserError, match=f"; {file} is in no folder of that group; move it to {tmp_path}/sweeps"):
        find("mine", [tmp_path])


@pytest.mark.parametrize("entries", ["[mine]", "[/optimizer/mine]", "[other]"])
def test_a_defaults_list_that_leads_back_to_its_file_is_refused(entries: str, tmp_path: Path) -> None:
    file = write(tmp_path / "optimizer/mine.yaml", f"defaults: {entries}\nlearning_rate: 1e-3\n")
    write(tmp_path / "optimizer/other.yaml", "defaults: [mine]\n")
    message = faults_of(QUICK, "optimizer=mine", "--config-dir", str(tmp_path))[str(file)]
    assert "has a defaults list that leads back to this file" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# @package _global_ now\n", "cannot be read as a config: Too many components in '@package _global_ now'"),
        ("# @package _global_\ndefaults: quickstart\n", "defaults must be a list"),
        ("# @package _global_\ndefaults: [quickstart, 3]\n", ""),
        ("# @package _global_\ndefaults: [{a: b, c: d}]\n", "Too many keys in default item"),
        ("# @package _global_\ndefaults: [{override /modle: minilm}]\n", "Could not override 'modle'"),
        ('# @package _global_\ntitle: "${study.study_name"\n', "no viable alternative at input '${study.study_name'"),
        ("# @package _global_\nstudy:\n\tn_trials: 3\n", "cannot start any token"),
    ],
)
def test_the_file_that_stops_hydra_is_named(text: str, said: str, tmp_path: Path) -> None:
    write(tmp_path / "experiment/a_bad_one_beside_it.yaml", "a: [b\n")
    file = write(tmp_path / "experiment/mine.yaml", text)
    found = faults_of("+experiment=mine", "--config-dir", str(tmp_path))
    if said:
        assert said in found[str(file)], found
    assert len(found) == 1


def test_an_option_that_a_defaults_list_names_and_no_file_has_is_refused_with_those_that_there_are(
    tmp_path: Path,
) -> None:
    write(tmp_path / "experiment/mine.yaml", "# @package _global_\ndefaults: [{override /model: minilmm}]\n")
    found = faults_of("+experiment=mine", "--config-dir", str(tmp_path))["model"]
    assert "is minilmm, but must be one of: custom, " in found and "(did you mean minilm?)" in found


def test_two_experiments_are_refused() -> None:
    assert "is given more than once; take one" in faults_of(QUICK, "+experiment=gpt2_head")["experiment"]


def test_a_whole_config_that_is_never_read_is_noted(tmp_path: Path) -> None:
    file = write(tmp_path / "config.yaml", "optimizer: {learning_rate: 1e-3}\n")
    assert f"{file} is not read" in make_plan([QUICK, "--config-dir", str(tmp_path)]).notes[0]
    file.write_text("port: 8080\n")  # of another program
    assert make_plan([QUICK, "--config-dir", str(tmp_path)]).notes == ()


def test_an_option_of_no_text_is_shown_as_it_was_typed() -> None:
    assert "is null, but must be one of" in faults_of(QUICK, "adapter=null")["adapter"]


@pytest.mark.parametrize("shut", ["mine", "mine/dataset"])
def test_a_folder_that_this_user_may_not_read_is_named(
    shut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "dataset").mkdir(parents=True)
    monkeypatch.setattr("sweep.config.own_files.os.access", lambda path, _mode: path != tmp_path / shut)
    (fault,) = folder_faults([tmp_path / "mine"])
    assert (fault.path, fault.message) == ("--config-dir", f"{tmp_path / shut} cannot be read")
