"""Command lines for plans: a quick experiment, a search space and a data set of the test's own,
and the faults of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.plan.plan import make_plan

QUICK = "+experiment=quickstart"


def faults_of(*arguments: str) -> dict[str, str]:
    """Return the message of each fault by its key."""
    with pytest.raises(UserError) as caught:
        make_plan(arguments)
    return {fault.path: str(fault) for fault in caught.value.faults}


def space_file(folder: Path, text: str) -> str:
    """Return the override that searches a space with this YAML text."""
    path = folder / "space.yaml"
    path.write_text(text)
    return f"study.space={path}"


def table(folder: Path, text: str, name: str = "train.csv") -> str:
    """Add a CSV file with this text to `folder`. Return the override that reads it."""
    (folder / name).write_text(text)
    return f"dataset.path={folder}"
