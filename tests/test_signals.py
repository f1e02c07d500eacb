"""Real signals to a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.store import Store
from tiny import tiny_bert

pytestmark = pytest.mark.slow


AT_ONCE = {"trainer": 1, "packed": 2}  # of two trials


def start(folder: Path, engine: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "sweep", "+experiment=quickstart", f"model.path={folder / 'bert'}", f"run_dir={folder / 'run'}",
        "study.n_trials=2", "study.space=null", "study.pruner=none", "trainer.num_train_epochs=6", "tracker=mock",
        f"engine={engine}",
    ]  # fmt: skip
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})


def evaluated(folder: Path, number: int) -> bool:
    events = folder / "run" / "trials" / f"{number:04d}" / "events.jsonl"
    return events.exists() and "eval/accuracy" in events.read_text()


@pytest.fixture(params=AT_ONCE)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def running(tmp_path: Path, engine: str) -> Iterator[subprocess.Popen[str]]:
    tiny_bert(tmp_path / "bert")
    process = start(tmp_path, engine)
    while not all(evaluated(tmp_path, number) for number in range(AT_ONCE[engine])):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    yield process
    process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_the_step_and_says_how_to_go_on(
    tmp_path: Path, running: subprocess.Popen[str], engine: str, number: int
) -> None:
    running.send_signal(number)
    _, message = running.communicate(timeout=60)
    assert running.returncode == 130, message
    assert "The same command goes on from here" in message
    assert "Traceback" not in message
    assert [trial.state for trial in Store(tmp_path / "run").trials()] == ["interrupted"] * AT_ONCE[engine]


def test_a_killed_process_leaves_its_rows_and_the_next_one_goes_on(
    tmp_path: Path, running: subprocess.Popen[str], engine: str
) -> None:
    running.kill()
    running.communicate()
    rows = [Store(tmp_path / "run").events(number) for number in range(AT_ONCE[engine])]
    assert all(rows)
    again = start(tmp_path, engine)
    _, message = again.communicate(timeout=300)
    assert again.returncode == 0, message
    trials = Store(tmp_path / "run").trials()
    assert [trial.state for trial in trials] == ["lost"] * len(rows) + ["completed"] * 2
    assert [Store(tmp_path / "run").events(number) for number in range(len(rows))] == rows
