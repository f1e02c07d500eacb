"""The program as its user starts it, in this process."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest

from sweep.__main__ import main
from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.outputs import importing
from sweep.provenance import git_state
from sweep.records.final import FinalRecord
from sweep.records.store import Store
from sweep.records.trial import TrialRecord
from sweep.report.write import Written

known_git_state = cache(git_state)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, report: bool = False) -> int:
    """Return the exit code. Without `report` the report is a line, which no process writes while the
    study runs: its figures take as long as all trainings of a small study."""
    with monkeypatch.context() as patched:
        patched.setattr("sys.argv", ["sweep", *arguments])
        with importing():
            patched.setattr("sweep.study.session.git_state", known_git_state)
        if not report:
            patched.setattr("sweep.report.publish.write_report", _one_line)
            patched.setattr("sweep.report.publish.kept_current", lambda _root: nullcontext())
        try:
            main()
        except SystemExit as done:
            return int(done.code or 0)
    return 0


def _one_line(store: Store, **_: object) -> Written:
    path = store.root / "report.md"
    for file in (path, path.with_suffix(".html")):
        file.write_text("a report\n")
    facts = read(store, running=False)
    return Written(path, facts, analyse(facts))


def final(folder: Path) -> FinalRecord:
    """Return the final record of the run in `folder / "run"`."""
    found = Store(folder / "run").final()
    assert found is not None
    return found


def assert_repeats(trial: TrialRecord, record: FinalRecord) -> None:
    """Check that the retraining repeats its trial to the last digit, unless the trial was one of a
    pack, which drops other values."""
    ours, theirs = record.retrain_evals, trial.outcome.evals
    assert record.trial_evals == theirs
    assert [point.step for point in ours] == [point.step for point in theirs]
    if trial.outcome.cost.engine != "packed":
        assert ours == theirs
