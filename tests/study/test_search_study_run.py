"""The search tells the study's own run what happens."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import pytest

from support.studies import searched
from support.toys import ToyEngine
from sweep.errors import Interrupted
from sweep.records.events import read_rows
from sweep.records.store import Store
from sweep.records.trial import Metrics, TrialPlan


def rows(folder: Path) -> list[Metrics]:
    return [{name.removeprefix("study/"): value for name, value in row.metrics.items()} for row in
            read_rows(Store(folder / "run").study_dir)]  # fmt: skip


def stop_in_third(trial: TrialPlan, epoch: int) -> None:
    if (trial.number, epoch) == (2, 2):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_stopped_search_and_its_end(tmp_path: Path) -> None:
    options = ("study.n_trials=4", "study.pruner=none", "study.sampler=random")
    engine = ToyEngine(stop_in_third, luck=lambda trial: math.nan if trial.number == 1 else 0.0)
    with pytest.raises(Interrupted):
        searched(tmp_path, *options, engine=engine)
    first, last = rows(tmp_path)[0], rows(tmp_path)[-1]
    assert (first["trials_running"], first["trials_ended"]) == (0, 0)
    names = ("running", "put_away", "completed", "failed", "ended")
    assert [last[f"trials_{name}"] for name in names] == [0, 1, 1, 1, 2]
    assert (last["failed_diverged"], last["best_trial"], last["slots_in_use"]) == (1, 0, 0)
    before = len(rows(tmp_path))
    records = searched(tmp_path, *options)
    again, last = rows(tmp_path)[before], rows(tmp_path)[-1]
    assert (again["trials_put_away"], again["trials_ended"]) == (1, 2)
    assert [last[f"trials_{name}"] for name in names] == [0, 0, 3, 1, 4]
    seconds = sum(record.outcome.cost.seconds for record in records)
    assert last["device_hours"] == pytest.approx(seconds / 3600, rel=0.5)
