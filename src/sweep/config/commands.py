"""The commands beside a search: `sweep NAME …` and `python -m sweep NAME …`.

This table is the only place that lists them. Each one is a module of `sweep.cli` with a function
`main(argv)`, which is imported only when its command is typed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.errors import UserError, closest

_WORD = re.compile(r"[A-Za-z][\w-]*")  # a search takes flags and key=value, never a word alone


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its arguments and what it does, as `sweep --help` shows them."""

    arguments: str
    does: str


COMMANDS: Mapping[str, Command] = {
    "report": Command("RUN_DIR", "write the report of a run directory again; --json prints its numbers"),
    "compare": Command("RUN_DIR RUN_DIR …", "set finished runs side by side"),
    "best": Command("RUN_DIR", "print the winner's values, scores and folder, for scripts too"),
    "predict": Command("RUN_DIR INPUT", "label the rows of a file, or the lines of standard input, with the winner"),
    "export": Command("RUN_DIR --to FORM PLACE", "write the winner in a form that others load"),
    "show": Command("RUN_DIR", "open optuna-dashboard on a study"),
    "review": Command("RUN_DIR", "write a workspace and a report on W&B for a study"),
}


def module_of(argv: Sequence[str]) -> str | None:
    """Return the module of the command that the arguments begin with; None for a search.

    Raises UserError for a single word that is no command.
    """
    name = next(iter(argv), "")
    if name in COMMANDS:
        return f"sweep.cli.{name}"
    if _WORD.fullmatch(name):
        rule = f"is no command{closest(name, COMMANDS)}; commands are {', '.join(COMMANDS)}"
        raise UserError.of(name, f"{rule}, and a search takes key=value, such as +experiment=quickstart")
    return None


def listing() -> str:
    """Return a line for each command, as `sweep --help` shows them."""
    typed = {f"sweep {name} {one.arguments}": one.does for name, one in COMMANDS.items()}
    width = max(map(len, typed))
    return "\n".join(f"  {line:<{width}}  {does}" for line, does in typed.items())
