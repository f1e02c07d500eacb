"""The process that writes the report of a running study again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.records.disk import write_whole
from sweep.records.store import Store
from sweep.report import live
from sweep.report.live import Watch, kept_current

from .conftest import six_trials


class Counting(Watch):
    """Counts reports instead of writing them."""

    count = 0

    def write(self) -> None:
        self.count += 1


def ended() -> subprocess.Popen[bytes]:
    """Return a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("sweep.report.live.time.monotonic", lambda: now[0])
    return now


def test_a_report_is_written_after_a_trial_and_not_more_often_than_every_thirty_seconds(make, clock):
    store = make()
    watch, trials = Counting(store.root, began=0.0), six_trials()
    counts = []
    for moment, trial in (
        (2, None),
        (9, None),
        (12, 0),
        (30, 1),
        (40, None),
        (69, None),
        (71, None),
        (80, 2),
        (102, None),
    ):
        clock[0] = moment
        if trial is not None:
            store.write_trial(trials[trial])
        watch.look()
        counts.append(watch.count)
    assert counts == [0, 1, 1, 1, 2, 2, 2, 3, 3]


def test_a_report_is_written_every_five_minutes_though_nothing_has_ended(make, clock):
    watch = Counting(make().root, began=0.0)
    for moment, count in ((10, 1), (300, 1), (311, 2)):
        clock[0] = moment
        watch.look()
        assert watch.count == count


def test_after_a_report_that_took_long_the_next_one_comes_later(make, clock, monkeypatch):
    """Reports take a twentieth of one core, at most."""
    used = iter([1.0, 5.0])  # seconds of computing before a report, and after it
    monkeypatch.setattr(live, "_computed", lambda: next(used, 5.0))
    store, counts = make(), list[int]()
    watch, trials = Counting(store.root, began=0.0), six_trials()
    for moment, trial in ((9, 0), (10, 1), (88, 2), (90, 3)):
        clock[0] = moment
        store.write_trial(trials[trial])
        watch.look()
        watch.writer = ended()
        counts.append(watch.count)
    assert counts == [1, 1, 1, 2]


@pytest.mark.parametrize("change", [
    lambda root: (root / "final" / "model").mkdir(parents=True), lambda root: (root / "trials" / "0007").mkdir(parents=True),
    lambda root: (root / "unfinished" / "refit-0003").mkdir(parents=True),
    lambda root: write_whole(root / "trials" / "0001" / "paused.json", "{}"),
])  # fmt: skip
def test_the_trainings_after_the_search_change_the_standing_too(tmp_path: Path, change: Callable[[Path], None]):
    (tmp_path / "trials" / "0001").mkdir(parents=True)
    watch = Watch(tmp_path)
    before = watch.standing()
    change(tmp_path)
    assert watch.standing() != before


def test_after_the_context_no_process_is_left(make):
    before = children()
    with kept_current(make().root):
        assert children() - before
    assert not children() - before


def test_a_process_that_was_killed_does_not_stop_the_study(make):
    before = children()
    with kept_current(make().root):
        for pid in children() - before:
            os.kill(int(pid), 9)


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


KILLED = """
import os, signal, sys
from pathlib import Path
from sweep.records.store import Store
from sweep.report.live import kept_current
store = Store(Path(sys.argv[1]))
with store.held(), kept_current(store.root):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_study_leaves_a_report_that_says_so(make):
    store: Store = make(six_trials()[:2])
    report = store.root / "report.html"
    assert subprocess.run([sys.executable, "-c", KILLED, str(store.root)], check=False).returncode == -9
    until = time.monotonic() + 90
    while not report.exists() and time.monotonic() < until:
        time.sleep(0.2)
    text = report.read_text()
    assert "<strong>Interrupted, 2 of 6</strong>" in text and 'http-equiv="refresh"' not in text


def test_the_program_needs_nothing_but_the_standard_library():
    code = f"import runpy; runpy.run_path({live.__file__!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_a_process_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "_ENDS", 0.01)
    watcher = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, start_new_session=True)
    live._end(watcher)
    assert watcher.returncode == -signal.SIGKILL
