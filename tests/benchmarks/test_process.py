"""Parts of a benchmark that fail, or do not end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from benchmarks.process import run

SLEEPS = "import pathlib, subprocess; child = subprocess.Popen(['sleep', '60']); pathlib.Path('{}').write_text(str(child.pid))"


def test_seconds_of_a_process(tmp_path: Path) -> None:
    spent = run("timeit", ["-n", "1", "-r", "1", "import time; time.sleep(0.3)"], tmp_path)
    assert 0 < spent.cpu < spent.wall - 0.2


def test_a_failure_shows_what_was_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="(?s)ended with 1.*ZeroDivisionError"):
        run("timeit", ["1 / 0"], tmp_path)


def test_out_of_time_it_goes_with_its_children(tmp_path: Path) -> None:
    number = tmp_path / "child"
    endless = [f"{SLEEPS.format(number)}; child.wait()"]
    with pytest.raises(SystemExit, match=r"timeit took longer than 0\.6 s"):
        run("timeit", ["-n", "1", "-r", "1", *endless], tmp_path, limit=0.6)
    assert _gone(number.read_text() if number.exists() else "")


def _gone(number: str) -> bool:
    """On a busy machine the child may not have come so far as to have a number, and takes a while
    to go."""
    for _ in range(50):
        state = Path(f"/proc/{number}/stat")
        if not number or not state.exists() or state.read_text().split()[2] == "Z":
            return True
        time.sleep(0.02)
    return False
