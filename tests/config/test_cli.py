from __future__ import annotations

import pytest

from sweep.config.cli import read_arguments


def test_help_names_the_commands_beside_a_search(capsys):
    with pytest.raises(SystemExit) as ended:
        read_arguments(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "sweep report RUN_DIR" in said and "sweep compare RUN_DIR RUN_DIR" in said
