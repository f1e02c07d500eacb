"""The rows that the client streams and the backend holds."""

from __future__ import annotations

import math

import pytest

from wandb_mock import MockServer
from wandb_mock.backend import Backend

from .conftest import Start, Wait


def test_history_arrives_while_the_run_goes_on(server: MockServer, start: Start, wait: Wait) -> None:
    run = start(id="live")
    run.log({"eval/loss": 0.7, "train/global_step": 10})
    kept = server.backend.runs["mock", "study", "live"]
    wait(lambda: kept.history)
    assert kept.state == "running"
    assert kept.history[0]["eval/loss"] == 0.7
    run.log({"eval/loss": 0.6, "train/global_step": 20})
    run.finish()
    assert [(row["_step"], row["eval/loss"]) for row in kept.history] == [(0, 0.7), (1, 0.6)]


def test_a_run_reads_its_own_facts(server: MockServer, start: Start) -> None:
    run = start(
        id="streamed",
        name="lora r=8",
        group="study-1",
        job_type="trial",
        tags=["lora", "tpe"],
        notes="a note",
        config={"lr": 1e-4, "lora": {"r": 8}, "target": ["q", "v"]},
    )
    run.config["late"] = True
    run.summary["best/eval_f1"] = 0.9
    run.log({"x": 1})
    run.finish()
    kept = server.backend.runs["mock", "study", "streamed"]
    assert (kept.display_name, kept.group, kept.job_type) == ("lora r=8", "study-1", "trial")
    assert (kept.tags, kept.notes) == (["lora", "tpe"], "a note")
    assert kept.config == {"lr": 1e-4, "lora": {"r": 8}, "target": ["q", "v"], "late": True}
    assert kept.summary["best/eval_f1"] == 0.9
    assert kept.summary["x"] == 1
    assert kept.host


@pytest.mark.parametrize(("code", "state"), [(0, "finished"), (1, "failed")])
def test_the_exit_code_makes_the_state(server: MockServer, start: Start, code: int, state: str) -> None:
    start(id="done").finish(exit_code=code)
    kept = server.backend.runs["mock", "study", "done"]
    assert (kept.state, kept.exit_code) == (state, code)


def test_two_runs_at_once_in_one_process(server: MockServer, start: Start) -> None:
    first, second = start(id="first"), start(id="second")
    for step in range(20):
        first.log({"loss": step})
        second.log({"loss": -step})
    second.finish()
    first.finish()
    losses = {run.id: [row["loss"] for row in run.history] for run in server.backend.runs.values()}
    assert losses == {"first": list(range(20)), "second": [-step for step in range(20)]}


def test_a_resumed_run_goes_on_where_it_stopped(server: MockServer, start: Start) -> None:
    run = start(id="same", config={"lr": 1})
    run.log({"loss": 3})
    run.finish(exit_code=1)
    again = start(id="same", resume="must")
    assert again.config["lr"] == 1
    again.log({"loss": 2})
    again.finish()
    kept = server.backend.runs["mock", "study", "same"]
    assert [(row["_step"], row["loss"]) for row in kept.history] == [(0, 3), (1, 2)]
    assert kept.state == "finished"


def test_a_run_started_anew_loses_the_history_of_the_old_one(server: MockServer, start: Start) -> None:
    run = start(id="same")
    for loss in (5, 4, 3):
        run.log({"loss": loss})
    run.finish()
    again = start(id="same")
    again.log({"loss": 9})
    again.finish()
    kept = server.backend.runs["mock", "study", "same"]
    assert [row["loss"] for row in kept.history] == [9]


def test_numbers_that_json_does_not_have(server: MockServer, start: Start) -> None:
    run = start(id="odd")
    run.log({"nan": math.nan, "inf": math.inf})
    run.finish()
    (row,) = Backend.open(server.backend.disk.folder).runs["mock", "study", "odd"].history
    assert math.isnan(row["nan"])
    assert row["inf"] == math.inf


def test_the_key_is_nowhere_on_disk(server: MockServer, start: Start) -> None:
    start(id="secret").finish()
    kept = [path for path in server.backend.disk.folder.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if server.api_key.encode() in path.read_bytes()]
