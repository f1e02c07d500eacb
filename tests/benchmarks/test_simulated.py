"""The engine of `benchmarks.scale_out`, whose trials sleep."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import simulated
from support.toys import session
from sweep.records.trial import Completed
from sweep.study.search import search


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "ROUND", 0.0)


def test_trials_log_evaluate_and_end_as_those_of_a_pack(tmp_path: Path) -> None:
    with session(tmp_path, "study.n_trials=20", "study.pruner=none", "study.sampler=random",
                 engine=simulated.Simulated()) as opened:  # type: ignore[arg-type]  # fmt: skip
        records = search(opened)
    assert [record.number for record in records] == list(range(20))
    for record in records:
        assert isinstance(record.outcome, Completed) and record.outcome.cost.steps == simulated.STEPS
        steps = [point.step for point in record.outcome.evals]
        assert steps[-1] == simulated.STEPS
        assert all((step + record.number) % simulated.EVALUATED == 0 for step in steps[:-1])
        assert all(simulated.WAITED in point.metrics for point in record.outcome.evals[1:])


def test_a_pruner_stops_some(tmp_path: Path) -> None:
    with session(tmp_path, "study.n_trials=12", "study.pruner=racing", "study.sampler=random",
                 engine=simulated.Simulated()) as opened:  # type: ignore[arg-type]  # fmt: skip
        records = search(opened)
    assert {record.state for record in records} <= {"completed", "pruned"}
    assert sum(record.outcome.cost.steps for record in records) > 0
