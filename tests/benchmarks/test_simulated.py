"""The engine of `benchmarks.scale_out`, whose trials sleep."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.scale_out import STEPS, task
from benchmarks.simulated import EVALUATED, SAVED, Simulated, verdict_seconds

from support.promoting import BestGoesOn
from support.toys import session
from sweep.plan import pausing
from sweep.records.snapshot import Snapshot
from sweep.records.trial import Completed, Failed, TrialRecord, Verdict
from sweep.search import pruners
from sweep.study.search import search


def verdicts_in(folder: Path) -> Path:
    (folder / "verdicts").mkdir()
    return folder / "verdicts"


def searched(folder: Path, *overrides: str) -> list[TrialRecord]:
    engine = Simulated(verdicts_in(folder), seconds=0.0)
    given = (*task(folder, 64), "study.sampler=random", *overrides)
    with session(folder, *given, engine=engine) as opened:  # type: ignore[arg-type]
        return search(opened)


def test_trials_log_evaluate_and_end_as_those_of_a_pack(tmp_path: Path) -> None:
    records = searched(tmp_path, "study.n_trials=20", "study.pruner=none")
    assert [record.number for record in records] == list(range(20))
    lengths = [record.outcome.cost.steps for record in records]
    assert {40, 80} <= set(lengths) <= {40, 50, 60, 70, 80}
    assert sum(lengths) / 20 == pytest.approx(STEPS, abs=5)
    for record in records:
        assert isinstance(record.outcome, Completed)
        steps = [point.step for point in record.outcome.evals]
        assert steps[-1] == record.outcome.cost.steps
        assert all((step + record.number) % EVALUATED == 0 for step in steps[:-1])
    waited = verdict_seconds(tmp_path / "verdicts")
    assert len(waited) == sum(len(record.outcome.evals) for record in records)
    assert all(seconds > 0 for seconds in waited)


def test_a_pruner_stops_some(tmp_path: Path) -> None:
    records = searched(tmp_path, "study.n_trials=12", "study.pruner=racing")
    assert {record.state for record in records} <= {"completed", "pruned"}
    assert sum(record.outcome.cost.steps for record in records) > 0


def test_a_paused_trial_goes_on_from_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pruners._PRUNERS, "racing", BestGoesOn)
    monkeypatch.setattr(pausing, "LEAST_SCORED", 0)
    records = searched(tmp_path, "study.n_trials=4", "study.pruner=racing", "optimizer.warmup_steps=0")
    assert sorted(record.state for record in records) == ["completed"] * 2 + ["pruned"] * 2
    for record in records:
        steps = [point.step for point in record.outcome.evals]
        assert record.promotions == (len(steps) > 1) and record.outcome.cost.steps == steps[-1]
        assert steps == sorted(set(steps)) and record.pauses == 1


@pytest.mark.parametrize("saves", [False, True])
def test_a_snapshot_is_as_large_as_a_real_one(tmp_path: Path, saves: bool) -> None:
    """Of a trial that is put away after its first evaluation."""
    with session(tmp_path, *task(tmp_path, 64)) as opened:
        left, saved, ended = [opened.plan.trial(0, {})], list[Snapshot](), list[object]()
    Simulated(verdicts_in(tmp_path), saves, seconds=0.0).run(
        lambda: left.pop() if left else None,
        lambda plan, step: Verdict.CONTINUE if step.step < 25 else Verdict.PUT_AWAY,
        lambda plan, point: Verdict.CONTINUE,
        lambda plan, outcome: ended.append(outcome),
        lambda plan, snapshot: saved.append(snapshot),
    )
    assert [snapshot.step for snapshot in saved] == ([20, 25] if saves else [25])
    assert all(SAVED < len(snapshot.data) < 1.01 * SAVED for snapshot in saved)
    assert isinstance(ended[0], Failed)
