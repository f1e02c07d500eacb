"""Rules that import-linter cannot check: users of the Trainer, module lengths and docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGES = Path(__file__).parents[1] / "src"
SOURCES = sorted((PACKAGES / "sweep").rglob("*.py"))
DOCUMENTED = sorted(PACKAGES.rglob("*.py"))
NOUN_PHRASE = re.compile(r"(Of|What|How|Whether)\b")
PROSE_WIDTH = 99


def imported_names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import) for alias in node.names
    }


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place and the lines of each docstring, as they stand in the file."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            first = node.body[0]
            place = f"{path.relative_to(PACKAGES)}:{first.lineno}"
            yield place, "\n".join(lines[first.lineno - 1 : first.end_lineno])


def test_only_the_engine_imports_the_trainer() -> None:
    users = {path.parent.name for path in SOURCES if {"Trainer", "TrainingArguments"} & imported_names(path)}
    assert users <= {"engine"}


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    assert [path.name for path in SOURCES if len(path.read_text().splitlines()) > 400] == []


def test_docstrings_are_sentences_of_their_own() -> None:
    """A docstring such as "Of the trial." is clear only beside the name that it explains."""
    found = [(place, text) for path in DOCUMENTED for place, text in docstrings(path)]
    assert len(found) > 500
    assert [place for place, text in found if NOUN_PHRASE.match(text.strip().lstrip('r"'))] == []


def test_docstrings_fit_a_narrow_window() -> None:
    found = [
        place
        for path in DOCUMENTED
        for place, text in docstrings(path)
        if any(len(line) > PROSE_WIDTH for line in text.splitlines())
    ]
    assert found == []
