from __future__ import annotations

import pytest

from sweep.config.cli import read_arguments
from sweep.errors import UserError


def test_help_names_the_commands_beside_a_search(capsys):
    with pytest.raises(SystemExit) as ended:
        read_arguments(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "sweep report RUN_DIR" in said and "sweep compare RUN_DIR RUN_DIR" in said


def test_help_lists_the_files_of_the_users_own_folders(tmp_path, capsys):
    for name in ("experiment/ours", "sweeps/narrow", "sweeps/wide"):
        (tmp_path / name).with_suffix(".yaml").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").touch()
    empty = tmp_path / "sweeps"
    with pytest.raises(SystemExit):
        read_arguments(["--config-dir", str(tmp_path), "+experiment=ours", "-cd", str(empty), "--help"])
    said = capsys.readouterr().out
    own = said[said.index(f"in {tmp_path}:") :]
    assert own.split() == [
        "in", f"{tmp_path}:", "experiment", "ours", "study.space", "narrow,", "wide",
        "in", f"{empty}:", "no", "GROUP/NAME.yaml",
    ]  # fmt: skip


def test_a_folder_that_an_unset_variable_leaves_empty_is_refused():
    with pytest.raises(UserError, match="--config-dir: is empty"):
        read_arguments(["+experiment=quickstart", "--config-dir", ""])


def test_a_folder_in_the_home_folder_is_found_where_the_shell_leaves_the_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (folder,) = read_arguments(["+experiment=quickstart", "--config-dir=~/mine"]).config_dirs
    assert str(folder) == "/home/me/mine"
