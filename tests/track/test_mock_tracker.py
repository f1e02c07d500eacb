"""`tracker=mock`: the W&B tracker against a server that sweep starts, and what is found there at
the end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import wandb

from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.final import FinalRecord, Parameters, Refit
from sweep.records.trial import EvalPoint, Step
from sweep.track.arrivals import Arrivals, compare
from sweep.track.faults import tracker_faults
from sweep.track.mock_tracker import MockTracker
from sweep.track.null import NullRun
from sweep.track.open import open_tracker, tracked
from sweep.track.patience import NeverStopped
from sweep.track.tracker import CutRun, Ending, JobType, cut_trial, trial_ending
from sweep.track.wandb_service import abandon
from wandb_mock.backend import Backend


@pytest.fixture
def study(make_config, make_trial, train, run_dir, said) -> Callable[..., MockTracker]:
    """Play some trials and give the tracker back, still open."""

    def play(*endings: str, start: int = 0) -> MockTracker:
        config = make_config("mock")
        tracker = open_tracker(config, run_dir, say=said.append)
        assert isinstance(tracker, MockTracker)
        for number, ending in enumerate(endings, start):
            trial = make_trial(config, number)
            run = tracker.open(trial)
            run.finish(trial_ending(train(trial, run, ending), config.study))
        return tracker

    return play


@pytest.fixture
def closed(store) -> Callable[[MockTracker], Arrivals]:
    """Close the tracker and compare, as a study does at its end."""

    def close(tracker: MockTracker) -> Arrivals:
        assert tracker.close() == ()
        return compare(store, "tiny", tracker.expected)

    return close


def die(tracker: MockTracker) -> None:
    """End as a killed process does: no run is ended, and the marks of open runs stay."""
    tracker.server.close()
    abandon([run.client for run in tracker.runs])
    tracker.connection.service.put_back()


def final_record(number: int) -> FinalRecord:
    point = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.8})
    return FinalRecord(
        number=number, params={}, command="", trial_best=point, retrain_best=point, trial_evals=(), retrain_evals=(),
        test={"test/accuracy": 0.75}, test_seconds=1.0, test_rows=8, baseline={}, cost=Cost(),
        parameters=Parameters(2, 1, 8), label_names=("a", "b"), confusion=((4, 0), (2, 2)), config=Config(),
    )  # fmt: skip


def test_the_lines_count_what_the_server_received(study, closed, make_config, make_trial, store, run_dir, said):
    tracker = study("completed", "pruned", "diverged")
    config = make_config("mock")
    final = tracker.open(make_trial(config, 0), JobType.FINAL)
    final.log(4, {"test/accuracy": 0.75})
    final.finish(Ending("completed"))
    store.write_final(final_record(0))
    tracker.open_study(config).finish(Ending("completed", None, {"best/eval/accuracy": 0.8}))
    assert closed(tracker) == Arrivals(
        (
            "mock W&B server: 3 trial runs, 1 final, 1 study, 13 rows, 0 unknown operations",
            f"  page kept: python -m wandb_mock {run_dir / 'wandb-mock'}",
        ),
        (),
    )
    assert said == [f"mock W&B server: {tracker.server.url}"]


def test_repeats_and_the_best_of_each_method_have_runs_of_their_own(study, closed, make_config, make_trial, store):
    tracker, config = study("completed", "completed"), make_config("mock")
    tracker.open(make_trial(config, 1), JobType.CONFIRM).finish(Ending("completed"))
    for number, folder in ((0, store.final_dir), (1, store.choice_dir("ia3"))):
        run = tracker.open(make_trial(config, number), JobType.FINAL)
        run.log(4, {"test/accuracy": 0.75})
        run.finish(Ending("completed"))
        store.write_final(final_record(number), folder=folder)
    names = {run.display_name for run in tracker.server.backend.runs.values()}
    assert "tiny-0001-seed-0" in names
    found = closed(tracker)
    assert found.missing == ()
    assert "2 trial runs, 1 confirm, 2 final, 0 study" in found.lines[0]


def test_a_refit_has_a_run_of_its_own_with_its_rows_and_the_test_scores(
    study, closed, make_config, make_trial, store, run_dir
):
    step, config = Step(4, 4, 1.0, {"train/loss": 0.5}), make_config("mock")
    tracker = study("completed")
    tracker.open(make_trial(config, 0), JobType.FINAL).finish(Ending("completed"))  # of no test scores
    run = tracker.open(make_trial(config, 0), JobType.REFIT)
    run.log(4, step.metrics)
    run.log(4, {"test/accuracy": 0.75})
    run.finish(Ending("completed"))
    record = replace(final_record(0), refit=Refit(12, 4, 6, Cost()))
    store.write_final(record, refit=[step])
    found = closed(tracker)
    assert found.missing == () and "1 trial run, 1 final, 1 refit, 0 study" in found.lines[0]
    assert {run.display_name for run in Backend.open(run_dir / "wandb-mock").runs.values()} >= {
        "tiny-final",
        "tiny-refit",
    }


def test_a_resumed_study_goes_on_with_the_same_folder(study, closed, run_dir):
    closed(study("completed"))
    found = closed(study("pruned", start=1))
    assert found.missing == () and "2 trial runs" in found.lines[0]
    assert len(Backend.open(run_dir / "wandb-mock").runs) == 2


def test_test_scores_and_rows_that_were_never_sent_are_named(study, closed, make_config, make_trial, store):
    tracker = study("completed")
    for kind in (JobType.FINAL, JobType.REFIT):
        tracker.open(make_trial(make_config("mock"), 0), kind).finish(Ending("completed"))
    store.write_final(final_record(0), folder=store.choice_dir("ia3"))
    record = replace(final_record(0), refit=Refit(12, 4, 6, Cost()))
    store.write_final(record, refit=[Step(4, 4, 1.0, {"train/loss": 0.5})])
    assert closed(tracker).missing == (
        "final/refit: 1 of 1 row: step 4 (train/loss)",
        "final/refit: its test scores",
        "ia3: its test scores",
    )


def test_a_trial_that_died_with_its_process_need_not_have_sent_its_last_rows(
    study, closed, make_config, make_trial, train, store
):
    tracker = study("completed")
    train(make_trial(make_config("mock"), 1), NullRun(), "lost")
    found = closed(tracker)
    assert [record.state for record in store.trials()] == ["completed", "lost"] and found.missing == ()


def test_a_run_that_could_not_even_be_started_is_named(study, make_config, make_trial, train, store, monkeypatch):
    tracker = study()
    monkeypatch.setattr("wandb.init", lambda **_: (_ for _ in ()).throw(OSError("no room")))
    trial = make_trial(make_config("mock"), 0)
    train(trial, tracker.open(trial), "completed")
    tracker.close()
    assert compare(store, "tiny", tracker.expected).missing == ("trial 0: the run",)


def test_the_run_of_a_trial_that_died_with_its_process_is_continued(
    study, closed, make_config, make_trial, train, store, run_dir
):
    """The server of the study's second part completes the run. Half of its rows had been sent."""
    config, first = make_config("mock"), study("completed")
    run, trial = first.open(make_trial(config, 1)), make_trial(config, 1)
    record = replace(train(trial, NullRun(), "lost"), tracker_run=run.address)
    store.write_trial(record)
    for event in store.events(1)[:2]:
        run.log(event.step, event.metrics)
    die(first)
    second = study()
    assert second.left_open(run.address)
    assert second.complete(cut_trial(record, store.events(1), config.study))
    assert not second.left_open(run.address)
    assert closed(second).missing == ()
    backend = Backend.open(run_dir / "wandb-mock")
    (held,) = (one for one in backend.runs.values() if one.display_name == "tiny-0001")
    assert len(held.history) == 4 and held.exit_code == 1
    assert (held.summary["state"], held.summary["optuna/state"], held.summary["best/step"]) == ("lost", "FAIL", 2)
    assert held.config["trial"]["number"] == 1 and len(backend.runs) == 2


def test_a_final_run_that_was_left_open_gets_its_rows_its_scores_and_its_model(
    study, closed, make_config, make_trial, store, run_dir, tmp_path
):
    config, first = make_config("mock"), study()
    run = first.open(make_trial(config, 2), JobType.FINAL)
    rows = [Step(1, 2, 0.5, {"train/loss": 2.0}), Step(2, 2, 1.0, {"train/loss": 1.0})]
    store.write_final(replace(final_record(2), tracker_run=run.address), rows)
    die(first)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("trained")
    ending = Ending("completed", summary={"test/accuracy": 0.75}, artifact=tmp_path / "model")
    second = study()
    assert second.complete(CutRun(JobType.FINAL, run.address, 2, ending, rows))
    assert closed(second).missing == ()
    (held,) = Backend.open(run_dir / "wandb-mock").runs.values()
    assert (held.display_name, held.job_type, held.exit_code) == ("tiny-final", "final", 0)
    assert [row["train/loss"] for row in held.history] == [2.0, 1.0]
    third = study()
    assert not third.left_open(run.address)
    third.close()


def test_a_study_that_is_stopped_at_its_very_end_is_reported_to_the_server_all_the_same(study, closed, make_config):
    tracker = study("completed")
    tracker.patience.stop = NeverStopped(raised=True)
    tracker.open_study(make_config("mock")).finish(Ending("completed"))
    assert closed(tracker).missing == ()


def test_a_run_that_is_nowhere_cannot_be_continued(study, closed, make_config, make_trial, train, store, said):
    record = train(make_trial(make_config("mock"), 1), NullRun(), "lost")
    cut = cut_trial(record, store.events(1), make_config("mock").study)
    tracker = study()
    assert not tracker.complete(cut)
    assert not tracker.complete(replace(cut, address="/somewhere/wandb/offline-run-1"))
    assert said == [said[0]]
    assert not tracker.complete(replace(cut, address="http://elsewhere/a/b/runs/unknown"))
    assert "W&B: the run of trial 1 cannot be gone on with" in said[1]
    assert closed(tracker).missing == ()


def test_the_clients_own_settings_are_as_before(study):
    before = wandb.setup().settings.model_copy()
    environment = {k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"}
    study("completed").close()
    after = wandb.setup().settings
    assert (after.base_url, after.api_key) == (before.base_url, before.api_key)
    assert {k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"} == environment


def test_nothing_of_the_users_account_counts(study, closed, logged_in, monkeypatch):
    """The user has an account elsewhere, and W&B is switched to offline."""
    monkeypatch.setenv("WANDB_API_KEY", "u" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert closed(study("completed")).missing == () and logged_in.backend.runs == {}
    assert not Path(Path.home() / "netrc").exists()


def test_a_taken_port_is_the_users_to_mend(make_config, run_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = make_config("mock", port=taken.getsockname()[1])
        with pytest.raises(UserError) as caught:
            open_tracker(config, run_dir)
    assert [fault.path for fault in caught.value.faults] == ["tracker.port"]


@pytest.mark.parametrize(
    ("name", "tracker", "paths"),
    [
        ("mock", {"port": -1}, ["tracker.port"]),
        ("mock", {"prot": 8080, "mode": "offline"}, ["tracker.prot", "tracker.mode"]),
        ("wandb", {"port": 8080}, ["tracker.port"]),
        ("none", {"port": 8080}, ["tracker.port"]),
        ("mock", {"port": 8080}, []),
    ],
)
def test_only_the_mock_has_a_port(make_config, name, tracker, paths):
    assert [fault.path for fault in tracker_faults(make_config(name, **tracker))] == paths


def test_a_study_ends_with_code_1_where_something_is_missing(make_config, make_trial, train, store, said):
    config = make_config("mock")
    trial = make_trial(config)
    with tracked(config, store, say=said.append) as tracker:
        run = tracker.open(trial)
        run.finish(trial_ending(train(trial, run), config.study))
    assert [line.partition(":")[0] for line in said] == ["mock W&B server", "mock W&B server", "  page kept"]
    with pytest.raises(SystemExit) as ended, tracked(config, store, say=said.append) as tracker:
        again = make_trial(config, 1)
        train(again, tracker.open(again))  # whose end is never sent: the tracker sends that it was interrupted
    assert ended.value.code == 1 and said[-1] == "missing: trial 1: that it ended as completed"


def test_the_body_s_own_error_comes_first(make_config, make_trial, train, store, said):
    config = make_config("mock")
    with pytest.raises(ZeroDivisionError), tracked(config, store, say=said.append) as tracker:
        train(make_trial(config), tracker.open(make_trial(config)))
        raise ZeroDivisionError
    assert said[-1].startswith("missing: ")


def test_nothing_is_asked_of_no_tracker(make_config):
    faults = tracker_faults(make_config("none", review=True, alerts=("end",), registry="models"))
    assert [fault.path for fault in faults] == ["tracker.review", "tracker.alerts", "tracker.registry"]
    assert 'is ["end"], but tracker none sends nothing' in faults[1].message
