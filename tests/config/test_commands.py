from __future__ import annotations

import subprocess
import sys

import pytest

from sweep.config.commands import COMMANDS, listing, module_of
from sweep.errors import UserError

HEAVY = ("torch", "transformers", "peft", "wandb", "optuna", "datasets", "onnxruntime", "ray")


def test_a_command_is_named_by_the_first_word():
    assert module_of(["predict", "runs/one", "in.csv"]) == "sweep.cli.predict"
    assert [module_of(words) for words in ([], ["+experiment=quickstart"], ["--help"], ["tracker=none"])] == [None] * 4


def test_a_misspelt_command_gets_a_guess():
    with pytest.raises(UserError, match=r"predikt: is no command \(did you mean predict\?\); commands are report,"):
        module_of(["predikt", "runs/one"])
    with pytest.raises(UserError, match="quickstart: is no command; .* a search takes key=value"):
        module_of(["quickstart"])


def test_each_command_has_a_line_in_the_help():
    assert [line.split()[1] for line in listing().splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_imports_no_heavy_library(name):
    code = (
        f"import sys; sys.argv = ['sweep', '{name}', '--help']\n"
        "from sweep.__main__ import main\n"
        "try: main()\n"
        f"finally: print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert done.stdout.startswith(f"usage: sweep {name} ")
