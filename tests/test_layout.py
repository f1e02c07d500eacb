"""What import-linter cannot say: who may know the Trainer, and how long a module may be."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCES = sorted((Path(__file__).parents[1] / "src" / "sweep").rglob("*.py"))


def imported_names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import) for alias in node.names
    }


def test_only_the_engine_imports_the_trainer() -> None:
    users = {path.parent.name for path in SOURCES if {"Trainer", "TrainingArguments"} & imported_names(path)}
    assert users <= {"engine"}


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    assert [path.name for path in SOURCES if len(path.read_text().splitlines()) > 400] == []
