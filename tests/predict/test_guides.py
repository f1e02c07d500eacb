"""The code of the guides, run as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sweep

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("guide", ["README.md", "docs/using-the-winner.md", "docs/models.md"])
def test_the_code_of_a_guide_labels_texts(
    guide: str, winner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(winner)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(
        r"(?:^    .*\n|^\n)*^    model = sweep\.load.*\n(?:^    .*\n)+", (ROOT / guide).read_text(), re.M
    )
    found: dict[str, object] = {}
    exec("\n".join(line.removeprefix("    ") for line in code.splitlines()), found)
    texts = re.findall(r'"([^"]*)"', code.partition("predict(")[2])
    expected = sweep.load(winner).predict(texts)
    assert capsys.readouterr().out.splitlines() == [f"{one.label} {one.probability}" for one in expected]
