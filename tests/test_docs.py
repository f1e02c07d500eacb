"""The guides: links lead somewhere, prose fits a narrow window, and every decision can be
found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/RESULTS.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
DECISIONS = ROOT / "docs" / "decisions.md"


def prose(guide: Path) -> Iterator[str]:
    """Yield the lines of a guide that are neither code nor a table nor a figure."""
    fenced = False
    for line in guide.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("    ", "|", "![")):
            yield line


def anchors(guide: Path) -> set[str]:
    """Return the anchors that GitHub makes of a guide's headings."""
    titles = [line.lstrip("#").strip() for line in prose(guide) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_link_leads_somewhere(guide: Path) -> None:
    links = re.findall(r"\]\(\s*([^)\s]+)\)", guide.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (guide.parent / path).resolve() if path else guide
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_lines_of_prose_end_before_a_hundred_characters(guide: Path) -> None:
    assert [line for line in prose(guide) if len(line) >= 100] == []


def test_every_guide_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [
        guide.name for guide in (ROOT / "docs").glob("*.md") if f"| [{guide.name}](docs/{guide.name}) |" not in readme
    ] == []


def test_every_decision_is_dated_whole_and_in_the_contents() -> None:
    contents, entries = DECISIONS.read_text(encoding="utf-8").split("\n## Entries\n")
    parts = entries.split("\n### ")[1:]
    dates = [re.findall(r"^(\d{4}-\d\d-\d\d) · \w", part, re.MULTILINE) for part in parts]
    assert all(len(found) == 1 for found in dates) and dates == sorted(dates)
    for part in parts:
        title, after, *_ = part.splitlines()
        assert not after and part.endswith("\n"), f"an empty line after {title}, and before the next entry"
        assert re.findall(r"- \*\*(\w+)\.\*\*", part) == ["Decision", "Reason", "Rejected", "Consequences"], title
        assert f"[{title}]" in re.sub(r"\n\s+", " ", contents), title
