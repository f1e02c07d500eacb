"""The program as its user starts it, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.__main__ import main
from sweep.records.final import FinalRecord
from sweep.records.store import Store
from sweep.records.trial import TrialRecord


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Its exit code."""
    monkeypatch.setattr("sys.argv", ["sweep", *arguments])
    try:
        main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


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
