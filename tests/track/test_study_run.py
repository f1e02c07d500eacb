"""The study's own run: its rows while trials run, its alerts, and how it goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sweep.config.schema import Config
from sweep.records.cost import Cost
from sweep.records.events import events_path, read_rows
from sweep.records.snapshot import FORMAT, SECONDS, STEP, VERSION, Snapshot
from sweep.records.store import Store
from sweep.records.trial import (
    Completed,
    EvalPoint,
    Failed,
    FailureReason,
    Metrics,
    Outcome,
    Pruned,
    Step,
    TrialPlan,
    TrialRecord,
)
from sweep.track.null import NullRun, NullTracker
from sweep.track.study_run import StudyRun
from sweep.track.tracker import Alert, Ending, JobType, Run, StoppedRun, trial_rows


@dataclass
class KeptRun(NullRun):
    address: str = "kept/study"
    rows: list[tuple[int, Metrics]] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    def log(self, step: int, metrics: Metrics) -> None:
        self.rows.append((step, metrics))

    def alert(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def finish(self, ending: Ending) -> None:
        self.endings.append(ending)


@dataclass
class KeptTracker(NullTracker):
    """Opens the study's run, and goes on with it where its address is known."""

    run: KeptRun = field(default_factory=KeptRun)
    resumed: list[StoppedRun] = field(default_factory=list)

    def open_study(self, config: Config) -> Run:  # noqa: ARG002
        return self.run

    def resume_study(self, config: Config, stopped: StoppedRun) -> Run | None:  # noqa: ARG002
        self.resumed.append(stopped)
        return self.run


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tracker() -> KeptTracker:
    return KeptTracker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def study_run(tracker: KeptTracker, store: Store, make_config: Any, clock: Clock) -> StudyRun:
    return StudyRun(tracker, store, make_config(), rows=100, tokens=lambda _: 8.0, clock=clock)


def record(plan: TrialPlan, outcome: Outcome) -> TrialRecord:
    return TrialRecord(plan.number, plan.params, outcome, plan.command, plan.total_steps, "then", "now")


def completed(accuracy: float) -> Completed:
    point = EvalPoint(1, 4, 1.0, {"eval/accuracy": accuracy, "eval/loss": 0.5})
    return Completed(point, (point,), Cost(seconds=9.0))


def failed(reason: FailureReason, message: str = "why") -> Failed:
    return Failed(reason, message, (), Cost())


def snapshot_after(seconds: float) -> Snapshot:
    header = json.dumps({"__metadata__": {STEP: "2", VERSION: str(FORMAT), SECONDS: str(seconds)}}).encode()
    return Snapshot(len(header).to_bytes(8, "little") + header)


def end(study_run: StudyRun, plan: TrialPlan, outcome: Outcome) -> None:
    found = record(plan, outcome)
    study_run.store.write_trial(found)
    study_run.over(plan, seconds=outcome.cost.seconds)
    study_run.ended(found)


def test_a_row_has_the_trials_by_state_the_best_score_and_the_speed(study_run, tracker, clock, make_config, make_trial):
    plans = [make_trial(make_config(), number) for number in range(4)]
    study_run.open()
    study_run.stopped(waiting=2, paused=1)
    for plan in plans[:2]:
        study_run.begin(plan)
    clock.now += 5
    study_run.step(plans[0], Step(2, 4, 0.5, {}, 4.0))
    clock.now += 5
    study_run.step(plans[0], Step(3, 4, 0.75, {}, 8.0))
    (_, first), (second, running), (last, more) = tracker.run.rows
    assert first["study/trials_running"] == first["study/trials_ended"] == 0 and "study/best_score" not in first
    assert second == 5 and running == {
        "study/trials_running": 2, "study/trials_put_away": 2, "study/trials_paused": 1,
        "study/trials_ended": 0, "study/trials_completed": 0,
        "study/trials_pruned": 0, "study/trials_failed": 0, "study/trials_stopped": 0, "study/slots_in_use": 1,
        "study/device_hours": 4 / 3600,
        "study/rows_per_second": 10.0, "study/tokens_per_second": 80.0,
    }  # fmt: skip
    assert last == 10 and more["study/rows_per_second"] == 5.0 and more["study/device_hours"] == 8 / 3600
    end(study_run, plans[0], completed(0.7))
    end(study_run, plans[1], completed(0.9))
    study_run.begin(plans[2])
    end(study_run, plans[2], Pruned((), Cost()))
    end(study_run, plans[3], failed(FailureReason.OUT_OF_MEMORY))
    clock.now += 5
    study_run.write()
    _, row = tracker.run.rows[-1]
    assert {name: row[f"study/trials_{name}"] for name in ("running", "completed", "pruned", "failed", "ended")} == {
        "running": 0, "completed": 2, "pruned": 1, "failed": 1, "ended": 4,
    }  # fmt: skip
    assert (row["study/best_score"], row["study/best_trial"], row["study/failed_out_of_memory"]) == (0.9, 1, 1)
    assert row["study/device_hours"] == 18 / 3600


def test_an_unknown_length_of_rows_leaves_out_the_tokens(study_run, tracker, clock, make_config, make_trial):
    study_run.tokens = lambda _: None
    plan = make_trial(make_config())
    study_run.begin(plan)
    clock.now += 2
    study_run.step(plan, Step(1, 4, 0.25, {}, 1.0))
    _, row = tracker.run.rows[-1]
    assert row["study/rows_per_second"] == 12.5 and "study/tokens_per_second" not in row


def test_rows_come_by_time_and_not_by_step(study_run, tracker, clock, make_config, make_trial):
    plan = make_trial(make_config())
    study_run.begin(plan)
    for second in range(1, 3601):
        clock.now += 1
        for part in range(4):
            study_run.step(plan, Step(4 * second + part, 10**6, second / 10**5, {}, second))
    seconds = [step for step, _ in tracker.run.rows]
    gaps = [after - before for before, after in zip(seconds, seconds[1:], strict=False)]
    assert (min(gaps), max(gaps)) == (1, 30) and gaps == sorted(gaps)
    assert seconds == sorted(set(seconds)) and len(seconds) < 400


def test_other_trainings_take_slots_and_a_resumed_one_counts_from_where_it_goes_on(
    study_run, tracker, clock, make_config, make_trial
):
    plan = make_trial(make_config())
    study_run.begin(replace(plan, snapshot=snapshot_after(100.0)), JobType.FINAL, rows=200)
    clock.now += 2
    study_run.step(plan, Step(3, 4, 0.75, {}, 101.0), JobType.FINAL)
    clock.now += 2
    study_run.step(plan, Step(4, 4, 1.0, {}, 102.0), JobType.FINAL)
    rows = [row for _, row in tracker.run.rows]
    assert [row["study/slots_in_use"] for row in rows] == [0, 1, 1] and rows[-1]["study/trials_running"] == 0
    assert [row.get("study/rows_per_second") for row in rows] == [None, 0.0, 25.0]
    assert rows[-1]["study/device_hours"] == 2 / 3600


def test_it_goes_on_after_a_kill_with_all_its_rows(study_run, tracker, store, clock, make_config, make_trial):
    plan = make_trial(make_config())
    study_run.begin(plan)
    clock.now += 40
    study_run.step(plan, Step(2, 4, 0.5, {}, 36.0))
    with events_path(store.study_dir).open("a") as file:
        file.write('{"type": "train", "st')  # the kill
    kept = list(tracker.run.rows)
    clock.now += 5000
    again = StudyRun(tracker, store, make_config(), rows=100, clock=clock)
    again.open()
    (stopped,) = tracker.resumed
    assert (stopped.job_type, stopped.address) == (JobType.STUDY, "kept/study")
    assert [(row.step, row.metrics) for row in stopped.events] == kept
    second, row = tracker.run.rows[-1]
    assert second == 41 and row["study/device_hours"] == 0.01
    again.finish(Ending("completed"))
    assert [row.step for row in read_rows(store.study_dir)] == [0, 40, 41, 42]


def test_the_tables_of_an_end_count_as_a_row_without_metrics(study_run, store, clock, make_config, tracker):
    study_run.open()
    clock.now += 3
    study_run.finish(Ending("completed", tables={"mistakes": [{"row": "1"}]}))
    rows = read_rows(store.study_dir)
    assert [(row.step, bool(row.metrics)) for row in rows] == [(0, True), (3, True), (3, False)]
    again = StudyRun(tracker, store, make_config(), rows=100, clock=clock)
    again.finish(Ending("completed"))
    assert [row.step for row in read_rows(store.study_dir)] == [0, 3, 3, 4, 5]


def test_a_full_disk_costs_rows_and_no_study(study_run, tracker, store, clock, make_config, make_trial, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    plan = make_trial(make_config())
    monkeypatch.setattr("sweep.track.study_run.append_row", full)
    study_run.begin(plan)
    clock.now += 60
    study_run.step(plan, Step(1, 4, 0.25, {}, 50.0))
    assert tracker.run.rows == []
    monkeypatch.undo()
    study_run.write()
    assert len(tracker.run.rows) == len(read_rows(store.study_dir)) == 1


def test_alerts_of_a_new_best_of_failures_and_of_the_end(study_run, tracker, clock, make_config, make_trial):
    plans = [make_trial(make_config(), number) for number in range(9)]
    study_run.open()
    for plan, outcome in zip(plans, [completed(0.5), completed(0.4), completed(0.6)], strict=False):
        end(study_run, plan, outcome)
    for plan in plans[3:6]:
        end(study_run, plan, failed(FailureReason.DIVERGED, "the loss is nan"))
    end(study_run, plans[6], failed(FailureReason.CRASHED))
    clock.now += 3601
    end(study_run, plans[7], failed(FailureReason.DIVERGED))
    end(study_run, plans[8], failed(FailureReason.INTERRUPTED))
    study_run.finish(Ending("completed", summary={"test/accuracy": 0.55}))
    found = [(alert.kind, alert.title, alert.level) for alert in tracker.run.alerts]
    assert found == [
        ("best", "tiny: new best, trial 0", "INFO"),
        ("best", "tiny: new best, trial 2", "INFO"),
        ("failures", "tiny: trials fail, diverged", "WARN"),
        ("failures", "tiny: trials fail, crashed", "ERROR"),
        ("failures", "tiny: trials fail, diverged", "WARN"),
        ("end", "tiny: done", "INFO"),
    ]
    texts = [alert.text for alert in tracker.run.alerts]
    assert texts[1] == "eval/accuracy 0.6000: optimizer.learning_rate=0.003"
    assert texts[2] == "Trial 3 failed: the loss is nan."
    assert texts[4].endswith("2 others have failed so since the last alert.")
    assert "Best: trial 2, eval/accuracy 0.6000. test/accuracy 0.5500." in texts[5]


def test_no_alert_is_repeated_after_a_stop(study_run, tracker, store, clock, make_config, make_trial):
    plans = [make_trial(make_config(), number) for number in range(3)]
    study_run.open()
    end(study_run, plans[0], completed(0.5))
    end(study_run, plans[1], failed(FailureReason.DIVERGED))
    tracker.run.alerts.clear()
    again = StudyRun(tracker, store, make_config(), rows=100, clock=clock)
    again.open()
    end(again, plans[2], completed(0.45))
    assert tracker.run.alerts == []


def test_an_error_that_ends_the_study_is_told(study_run, tracker):
    study_run.fail("nothing is open yet")
    study_run.open()
    study_run.fail("study.storage: does not answer")
    (alert,), (ending,) = tracker.run.alerts, tracker.run.endings
    assert (alert.kind, alert.level, alert.title) == ("end", "ERROR", "tiny: stopped by an error")
    assert (ending.state, ending.code) == ("failed", 1) and not study_run.is_open


def test_a_process_without_a_tracker_keeps_the_address_of_the_run(study_run, tracker, store):
    study_run.open()
    StudyRun(NullTracker(), store, study_run.config, rows=100).open()
    assert store.study_address() == "kept/study"


def test_an_alert_holds_no_secret(study_run, tracker):
    study_run.open()
    study_run.fail("no answer from postgresql://me:Passw0rd!@db/x")
    assert "postgresql://me:***@db/x" in tracker.run.alerts[-1].text


def test_the_table_of_trials_holds_no_secret(make_config, make_trial):
    config = make_config()
    trial = replace(record(make_trial(config), completed(0.5)), params={"model.path": "https://me:Passw0rd!@hub/x"})
    assert trial_rows([trial], config.study)[0]["model.path"] == "https://me:***@hub/x"
