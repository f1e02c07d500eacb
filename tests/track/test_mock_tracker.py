from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.records.final import FinalRecord, Parameters, Refit
from sweep.records.store import Store
from sweep.records.trial import Cost, EvalPoint, Step
from sweep.track.mock.backend import Backend
from sweep.track.mock.records import Stream
from sweep.track.mock_tracker import MockTracker, absent_rows
from sweep.track.null import NullRun
from sweep.track.open import open_tracker
from sweep.track.patience import NeverStopped
from sweep.track.service import abandon
from sweep.track.tracker import CutRun, Ending, JobType, cut_trial, trial_ending

HISTORY = "wandb-history.jsonl"


@pytest.fixture
def study(make_config, make_trial, train, run_dir, said) -> Callable[..., MockTracker]:
    """Play some trials and give the tracker back, still open."""

    def play(*endings: str, start: int = 0) -> MockTracker:
        config = make_config("mock")
        tracker = open_tracker(config, run_dir, say=said.append)
        for number, ending in enumerate(endings, start):
            trial = make_trial(config, number)
            run = tracker.open(trial)
            run.finish(trial_ending(train(trial, run, ending), config.study))
        return tracker

    return play


def die(tracker: MockTracker) -> None:
    """As a process that is killed: no run is ended, and the marks of those that are open stay."""
    tracker.server.close()
    abandon([run.client for run in tracker._wandb.runs])
    tracker._wandb._service.put_back()


def final_record(number: int) -> FinalRecord:
    point = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.8})
    return FinalRecord(
        number=number, params={}, command="", trial_best=point, retrain_best=point, trial_evals=(), retrain_evals=(),
        test={"test/accuracy": 0.75}, test_seconds=1.0, test_rows=8, baseline={}, cost=Cost(),
        parameters=Parameters(2, 1, 8), label_names=("a", "b"), confusion=((4, 0), (2, 2)), config=Config(),
    )  # fmt: skip


def test_the_receipt_counts_what_the_backend_received(study, make_config, make_trial, store, run_dir, said):
    tracker = study("completed", "pruned", "diverged")
    config = make_config("mock")
    final = tracker.open(make_trial(config, 0), JobType.FINAL)
    final.log(4, {"test/accuracy": 0.75})
    final.finish(Ending("completed"))
    store.write_final(final_record(0))
    tracker.open_study(config).finish(Ending("completed", None, {"best/eval/accuracy": 0.8}))
    receipt = tracker.close(store)
    assert receipt.missing == ()
    assert receipt.lines == (
        "mock W&B backend: 3 trial runs, 1 final, 1 study, 13 rows, 0 unknown operations",
        f"  page kept: python -m sweep.track.mock {run_dir / 'wandb-mock'}",
    )
    assert said == [f"mock W&B backend: {tracker.server.url}"]


def test_repeats_and_the_best_of_each_method_have_runs_of_their_own(study, make_config, make_trial, store):
    tracker, config = study("completed", "completed"), make_config("mock")
    tracker.open(make_trial(config, 1), JobType.CONFIRM).finish(Ending("completed"))
    for number, folder in ((0, store.final_dir), (1, store.method_dir("ia3"))):
        run = tracker.open(make_trial(config, number), JobType.FINAL)
        run.log(4, {"test/accuracy": 0.75})
        run.finish(Ending("completed"))
        store.write_final(final_record(number), folder=folder)
    names = {run.display_name for run in tracker.server.backend.runs.values()}
    assert "tiny-0001-seed-0" in names
    receipt = tracker.close(store)
    assert receipt.missing == ()
    assert "2 trial runs, 1 confirm, 2 final, 0 study" in receipt.lines[0]


def test_test_scores_of_a_method_that_the_backend_lost_are_named(study, make_config, make_trial, store):
    tracker = study("completed")
    tracker.open(make_trial(make_config("mock"), 0), JobType.FINAL).finish(Ending("completed"))
    store.write_final(final_record(0), folder=store.method_dir("ia3"))
    assert tracker.close(store).missing == ("ia3: its test scores",)


def test_a_refit_has_a_run_of_its_own_with_its_rows_and_the_test_scores(study, make_config, make_trial, store, run_dir):
    step, config = Step(4, 4, 1.0, {"train/loss": 0.5}), make_config("mock")
    tracker = study("completed")
    tracker.open(make_trial(config, 0), JobType.FINAL).finish(Ending("completed"))  # of no test scores
    run = tracker.open(make_trial(config, 0), JobType.REFIT)
    run.log(4, step.metrics)
    run.log(4, {"test/accuracy": 0.75})
    run.finish(Ending("completed"))
    record = replace(final_record(0), refit=Refit(12, 4, 6, Cost()))
    store.write_final(record, refit=[step])
    receipt = tracker.close(store)
    assert receipt.missing == () and "1 trial run, 1 final, 1 refit, 0 study" in receipt.lines[0]
    assert {run.display_name for run in Backend.open(run_dir / "wandb-mock").runs.values()} >= {
        "tiny-final",
        "tiny-refit",
    }


def test_rows_and_scores_of_a_refit_that_the_backend_lost_are_named(study, make_config, make_trial, store):
    tracker = study("completed")
    tracker.open(make_trial(make_config("mock"), 0), JobType.REFIT).finish(Ending("completed"))
    record = replace(final_record(0), refit=Refit(12, 4, 6, Cost()))
    store.write_final(record, refit=[Step(4, 4, 1.0, {"train/loss": 0.5})])
    rows = "final/refit: 1 of 1 row: step 4 (train/loss)"
    assert tracker.close(store).missing == (rows, "final/refit: its test scores")


def test_a_resumed_study_goes_on_with_the_same_backend(study, store, run_dir):
    study("completed").close(store)
    receipt = study("pruned", start=1).close(store)
    assert receipt.missing == () and "2 trial runs" in receipt.lines[0]
    assert len(Backend.open(run_dir / "wandb-mock").runs) == 2


def test_rows_that_the_backend_lost_are_named(study, store):
    tracker = study("completed", "completed")
    run = next(run for run in tracker.server.backend.runs.values() if run.display_name == "tiny-0001")
    rows = run.history
    run.streams[HISTORY] = Stream()
    run.streams[HISTORY].put(0, [rows[0], rows[2], rows[3]])
    assert tracker.close(store).missing == ("trial 1: 1 of 4 rows: step 2 (eval/accuracy, eval/loss)",)


def test_a_row_with_another_value_is_not_the_row(study, store):
    tracker = study("completed")
    (run,) = tracker.server.backend.runs.values()
    run.history[0]["train/loss"] = 5.0
    assert tracker.close(store).missing == ("trial 0: 1 of 4 rows: step 2 (train/loss, train/epoch)",)


def test_a_run_that_the_backend_lost_is_named(study, store):
    tracker = study("completed", "pruned")
    backend = tracker.server.backend
    backend.runs = {key: run for key, run in backend.runs.items() if run.display_name != "tiny-0001"}
    assert tracker.close(store).missing == ("tiny-0001: the run", "trial 1: the run")


def test_an_ending_that_the_backend_lost_is_named(study, store):
    tracker = study("diverged")
    (run,) = tracker.server.backend.runs.values()
    run.exit_code = 0
    assert tracker.close(store).missing == ("trial 0: that it ended as diverged",)


def test_a_final_run_without_its_test_scores_is_named(study, make_config, make_trial, store):
    tracker = study("completed")
    tracker.open(make_trial(make_config("mock"), 0), JobType.FINAL).finish(Ending("completed"))
    store.write_final(final_record(0))
    assert tracker.close(store).missing == ("final: its test scores",)


def test_a_trial_that_died_with_its_process_need_not_have_sent_its_last_rows(
    study, make_config, make_trial, train, store
):
    tracker = study("completed")
    train(make_trial(make_config("mock"), 1), NullRun(), "lost")
    receipt = tracker.close(store)
    assert [record.state for record in store.trials()] == ["completed", "lost"] and receipt.missing == ()


def test_the_run_of_a_trial_that_died_with_its_process_is_gone_on_with(
    study, make_config, make_trial, train, store, run_dir
):
    """By the server of the study's second part. Half of its rows had been sent."""
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
    assert second.close(store).missing == ()
    backend = Backend.open(run_dir / "wandb-mock")
    (held,) = (one for one in backend.runs.values() if one.display_name == "tiny-0001")
    assert len(held.history) == 4 and held.exit_code == 1
    assert (held.summary["state"], held.summary["optuna/state"], held.summary["best/step"]) == ("lost", "FAIL", 2)
    assert held.config["trial"]["number"] == 1 and len(backend.runs) == 2


def test_a_final_run_that_was_left_open_gets_its_rows_its_scores_and_its_model(
    study, make_config, make_trial, store, run_dir, tmp_path
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
    assert second.close(store).missing == ()
    (held,) = Backend.open(run_dir / "wandb-mock").runs.values()
    assert (held.display_name, held.job_type, held.exit_code) == ("tiny-final", "final", 0)
    assert [row["train/loss"] for row in held.history] == [2.0, 1.0]
    assert not study().left_open(run.address)


def test_a_study_that_is_stopped_at_its_very_end_is_told_to_the_backend_all_the_same(study, make_config, store):
    tracker = study("completed")
    tracker._wandb.patience.stop = NeverStopped(raised=True)
    tracker.open_study(make_config("mock")).finish(Ending("completed"))
    assert tracker.close(store).missing == ()


def test_a_run_that_is_nowhere_cannot_be_gone_on_with(study, make_config, make_trial, train, store, said):
    record = train(make_trial(make_config("mock"), 1), NullRun(), "lost")
    cut = cut_trial(record, store.events(1), make_config("mock").study)
    tracker = study()
    assert not tracker.complete(cut)
    assert not tracker.complete(replace(cut, address="/somewhere/wandb/offline-run-1"))
    assert said == [said[0]]
    assert not tracker.complete(replace(cut, address="http://elsewhere/a/b/runs/unknown"))
    assert "W&B: the run of trial 1 cannot be gone on with" in said[1]
    assert tracker.close(store).missing == ()


def test_nothing_of_the_process_is_changed_after_the_end(study, store, monkeypatch):
    import os

    import wandb

    before = wandb.setup().settings.model_copy()
    environment = {k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"}
    study("completed").close(store)
    after = wandb.setup().settings
    assert (after.base_url, after.api_key) == (before.base_url, before.api_key)
    assert {k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"} == environment


def test_the_users_own_account_is_left_alone(study, store, monkeypatch, server):
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "u" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")
    receipt = study("completed").close(store)
    assert receipt.missing == () and server.backend.runs == {}
    assert not Path(Path.home() / "netrc").exists()


def test_a_taken_port_is_the_users_to_mend(make_config, run_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = make_config("mock", port=taken.getsockname()[1])
        with pytest.raises(UserError) as caught:
            open_tracker(config, run_dir)
    assert [fault.path for fault in caught.value.faults] == ["tracker.port"]


def test_equal_events_each_need_a_row(store: Store):
    point = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.5})
    row = {"train/global_step": 4, "eval/accuracy": 0.5, "_step": 0}
    assert absent_rows([point, point], [row]) == [point]
    odd = replace(point, metrics={"eval/loss": float("nan"), "eval/x": float("inf")})
    assert absent_rows([odd], [{"train/global_step": 4, "eval/loss": "NaN", "eval/x": "Infinity"}]) == []
