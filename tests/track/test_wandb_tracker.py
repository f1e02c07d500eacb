"""The real client, streaming to a backend known by its address and key alone, as any self-hosted
server would be."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from sweep.records.store import Store
from sweep.records.trial import EvalPoint
from sweep.track.credentials import Account
from sweep.track.open import open_tracker
from sweep.track.tracker import Ending, JobType, trial_ending
from sweep.track.wandb_run import WandbRun
from sweep.track.wandb_tracker import WandbTracker

from .conftest import received


def wait_for(condition, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return bool(condition())


def test_one_run_a_trial_with_all_that_a_dashboard_needs(logged_in, make_config, make_trial, train, run_dir, said):
    config = make_config(project="intents", entity="team", tags=("unit", "cpu"))
    tracker = open_tracker(config, run_dir, say=said.append)
    trial = make_trial(config, 3)
    run = tracker.open(trial)
    assert isinstance(run, WandbRun)
    assert run.address == f"{logged_in.url}/team/intents/runs/{run.id}"
    run.finish(trial_ending(train(trial, run), config.study))
    closing = tracker.close()

    got = received(logged_in, "tiny-0003")
    assert (got.entity, got.project, got.group, got.job_type) == ("team", "intents", "tiny", "trial")
    assert set(got.tags) == {"unit", "cpu", "completed"}
    assert got.config["trial"] == {"number": 3, "total_steps": 4, "command": trial.command}
    assert got.config["params"] == {"optimizer.learning_rate": 0.004}
    assert got.config["optimizer"] == config.optimizer.model_dump(mode="json")
    steps = [(row["train/global_step"], sorted(name for name in row if "/" in name)) for row in got.history]
    train_row = ["train/epoch", "train/global_step", "train/loss"]
    eval_row = ["eval/accuracy", "eval/loss", "train/global_step"]
    assert steps == [(2, train_row), (2, eval_row), (4, train_row), (4, eval_row)]
    metrics = got.raw_config["_wandb"]["value"]["m"]
    assert any(entry.get("1") == "train/global_step" for entry in metrics)  # declared, and the x-axis of the others
    assert any(entry.get("2") == "*" and entry.get("5") for entry in metrics)
    assert "1 trial run, 4 rows" in closing[0]
    assert said == []


def test_the_best_evaluation_outlives_the_last_row(logged_in, make_config, make_trial, train, run_dir):
    config = make_config()
    tracker = open_tracker(config, run_dir)
    run = tracker.open(make_trial(config))
    run.finish(trial_ending(train(make_trial(config), run), config.study))
    tracker.close()
    summary = received(logged_in, "tiny-0000").summary
    assert (summary["best/eval/accuracy"], summary["best/epoch"], summary["eval/accuracy"]) == (0.8, 0.5, 0.7)
    assert (summary["optuna/number"], summary["optuna/state"], summary["optuna/value"]) == (0, "COMPLETE", 0.8)


@pytest.mark.parametrize(
    ("ending", "code", "optuna", "backend_state", "tags"),
    [
        ("completed", 0, "COMPLETE", "finished", {"completed"}),
        ("pruned", 0, "PRUNED", "finished", {"pruned"}),
        ("diverged", 3, "FAIL", "failed", {"diverged", "failed"}),
        ("interrupted", 130, "FAIL", "failed", {"interrupted", "failed"}),
    ],
)
def test_each_ending_looks_different(
    logged_in, make_config, make_trial, train, run_dir, ending, code, optuna, backend_state, tags
):
    config = make_config()
    tracker = open_tracker(config, run_dir)
    trial = make_trial(config)
    run = tracker.open(trial)
    run.finish(trial_ending(train(trial, run, ending), config.study))
    tracker.close()
    got = received(logged_in, "tiny-0000")
    assert (got.exit_code, got.state, set(got.tags)) == (code, backend_state, {"unit"} | tags)
    assert (got.summary["state"], got.summary["optuna/state"]) == (ending, optuna)
    assert ("failure" in got.summary) == (code != 0)
    assert ("optuna/value" in got.summary) == (ending == "completed")
    assert got.summary["best/eval/accuracy"] == 0.8


def test_rows_arrive_while_the_trial_trains(server, make_config, make_trial, run_dir, said):
    config = make_config()
    account = Account(server.url, server.api_key)
    tracker = WandbTracker(config, run_dir, account=account, say=said.append, send_every=1)
    run = tracker.open(make_trial(config))
    run.log(1, {"train/loss": 2.0})
    assert wait_for(lambda: received(server, "tiny-0000").history)
    got = received(server, "tiny-0000")
    assert got.state == "running" and got.history[0]["train/loss"] == 2.0
    run.finish(Ending("completed"))
    tracker.close()


def test_values_that_are_not_finite_arrive(logged_in, make_config, make_trial, run_dir):
    config = make_config()
    tracker = open_tracker(config, run_dir)
    run = tracker.open(make_trial(config))
    run.log(1, {"train/loss": math.nan, "train/grad_norm": math.inf})
    run.finish(Ending("diverged"))
    tracker.close()
    row = received(logged_in, "tiny-0000").history[0]
    assert math.isnan(float(row["train/loss"])) and float(row["train/grad_norm"]) == math.inf


def test_two_runs_open_at_once_keep_their_rows_apart(logged_in, make_config, make_trial, run_dir):
    config = make_config()
    tracker = open_tracker(config, run_dir)
    first, second = tracker.open(make_trial(config, 0)), tracker.open(make_trial(config, 1))
    for step in (1, 2, 3):
        first.log(step, {"train/loss": 10.0 + step})
        second.log(step, {"train/loss": 20.0 + step})
    second.finish(Ending("pruned"))
    first.log(4, {"train/loss": 14.0})
    first.finish(Ending("completed"))
    tracker.close()
    losses = {n: [row["train/loss"] for row in received(logged_in, f"tiny-000{n}").history] for n in (0, 1)}
    assert losses == {0: [11.0, 12.0, 13.0, 14.0], 1: [21.0, 22.0, 23.0]}


def test_a_trial_run_again_gets_a_run_of_its_own(logged_in, make_config, make_trial, train, run_dir):
    config = make_config()
    for ending in ("interrupted", "completed"):
        tracker = open_tracker(config, run_dir)
        trial = make_trial(config)
        run = tracker.open(trial)
        run.finish(trial_ending(train(trial, run, ending), config.study))
        tracker.close()
    states = [run.summary["state"] for run in logged_in.backend.runs.values()]
    assert sorted(states) == ["completed", "interrupted"]
    assert all(len(run.history) == 4 for run in logged_in.backend.runs.values())


def test_the_final_run_has_test_scores_report_and_model(logged_in, make_config, make_trial, run_dir, said):
    config = make_config()
    (run_dir / "final/model").mkdir(parents=True)
    (run_dir / "final/model/weights.bin").write_bytes(b"w" * 100_000)
    (run_dir / "report.md").write_text("# Report\n")
    tracker = open_tracker(config, run_dir, say=said.append)
    run = tracker.open(make_trial(config, 2), JobType.FINAL)
    run.log(4, {"test/accuracy": 0.75})
    run.finish(Ending("completed", None, {"seconds": 2.0}, (run_dir / "report.md",), run_dir / "final/model"))
    tracker.close()
    got = received(logged_in, "tiny-final")
    assert (got.job_type, got.summary["test/accuracy"], got.summary["optuna/number"]) == ("final", 0.75, 2)
    assert "optuna/state" not in got.summary
    assert "report.md" in logged_in.backend.run_files(got)
    (artifact,) = logged_in.backend.artifacts.values()
    assert (artifact.name, artifact.type, artifact.state) == ("tiny-model:v0", "model", "COMMITTED")
    stored = logged_in.backend.disk.artifact_file(artifact.number, "weights.bin")
    assert stored.read_bytes() == b"w" * 100_000
    assert said == []
    # No second copy of the weights, neither in the run directory nor in the user's caches.
    copies = [path for path in run_dir.parent.rglob("*") if path.is_file() and path.stat().st_size == 100_000]
    assert set(copies) == {run_dir / "final/model/weights.bin", stored}


def test_an_artifact_that_stays_pending_is_reported(logged_in, make_config, make_trial, run_dir, said, monkeypatch):
    import wandb

    def pending(artifact: wandb.Artifact, timeout: int | None = None) -> None:
        raise TimeoutError("still pending")

    monkeypatch.setattr(wandb.Artifact, "wait", pending)
    (run_dir / "model").mkdir(parents=True)
    (run_dir / "model/a.txt").write_text("a")
    config = make_config()
    tracker = open_tracker(config, run_dir, say=said.append)
    tracker.open(make_trial(config), JobType.FINAL).finish(Ending("completed", artifact=run_dir / "model"))
    tracker.close()
    assert len(said) == 1 and "tiny-model: still pending" in said[0]
    assert received(logged_in, "tiny-final").state == "finished"


def test_the_study_run_has_the_table_of_trials(logged_in, make_config, make_trial, train, run_dir):
    config = make_config()
    tracker = open_tracker(config, run_dir)
    records = []
    for number, ending in enumerate(("completed", "pruned")):
        trial = make_trial(config, number)
        run = tracker.open(trial)
        records.append(train(trial, run, ending))
        run.finish(trial_ending(records[-1], config.study))
    tracker.open_study(config).finish(Ending("completed", None, {"best/eval/accuracy": 0.8}, trials=tuple(records)))
    tracker.close()
    got = received(logged_in, "tiny-study")
    assert (got.job_type, got.summary["best/eval/accuracy"], got.summary["trials"]["nrows"]) == ("study", 0.8, 2)
    table = next(name for name in logged_in.backend.run_files(got) if name.endswith(".table.json"))
    text = logged_in.backend.disk.run_file(got.key, table).read_text()
    assert "optimizer.learning_rate" in text and "pruned" in text
    assert not (Path.home() / ".local/share/wandb").exists()  # staged in the run directory


def test_a_comparison_is_a_run_with_the_configs_and_a_table_of_its_methods(logged_in, make_config, run_dir):
    config = make_config()
    tracker = open_tracker(config, run_dir)
    table = {"methods": ({"method": "lora", "score": 0.9}, {"method": "ia3", "score": None, "note": "x"})}
    tracker.open_comparison("lora-ia3", {"lora": config, "ia3": config}).finish(Ending("completed", tables=table))
    closing = tracker.close()
    got = received(logged_in, "lora-ia3")
    assert (got.job_type, got.state, got.summary["methods"]["nrows"]) == ("compare", "finished", 2)
    assert got.summary["methods"]["ncols"] == 3 and set(got.config["compared"]) == {"lora", "ia3"}
    assert closing[0].startswith("W&B: 1 compare, ")


def test_the_environment_cannot_redirect_a_run(logged_in, make_config, make_trial, run_dir, monkeypatch):
    disturbing = {"SWEEP_ID": "a/b/c", "RUN_ID": "fixed", "RESUME": "must", "NAME": "other", "RUN_GROUP": "other",
                  "JOB_TYPE": "other", "PROJECT": "other", "TAGS": "other"}  # fmt: skip
    for name, value in disturbing.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    import wandb

    wandb.teardown()  # so that the client reads the environment anew
    config = make_config(project="sweep")
    before = dict(os.environ)
    tracker = open_tracker(config, run_dir)
    for number in (0, 1):
        tracker.open(make_trial(config, number)).finish(Ending("completed"))
    tracker.close()
    assert {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} == before
    got = [
        (r.display_name, r.group, r.job_type, r.project, r.sweep, set(r.tags)) for r in logged_in.backend.runs.values()
    ]
    tags = {"unit", "completed"}
    assert got == [(f"tiny-000{n}", "tiny", "trial", "sweep", "", tags) for n in (0, 1)]
    monkeypatch.undo()
    wandb.teardown()


def test_no_secret_arrives_or_is_written(logged_in, make_config, make_trial, train, run_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz")
    monkeypatch.setenv("WANDB_API_KEY", "k3y" * 14)
    monkeypatch.setattr("sys.argv", ["sweep", "study.storage=postgresql://me:Passw0rd!@db/x"])
    config = make_config(storage="postgresql://me:Passw0rd!@db/x")
    tracker = open_tracker(config, run_dir)
    for number in (0, 1):
        trial = make_trial(config, number)
        run = tracker.open(trial)
        run.finish(trial_ending(train(trial, run), config.study))
    failure = Ending(
        "crashed", None, {"failure": "no answer from postgresql://me:Passw0rd!@db/x with hf_abcdefghijklmnopqrstuvwxyz"}
    )
    tracker.open(make_trial(config, 2)).finish(failure)
    tracker.close()
    written = [path for folder in (run_dir, tmp_path / "elsewhere") for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 10
    for secret in (b"Passw0rd", b"hf_abcdef", b"k3yk3y"):
        assert not [path for path in written if secret in path.read_bytes()]
    assert received(logged_in, "tiny-0000").config["study"]["storage"] == "postgresql://me:***@db/x"


def test_a_run_left_open_is_closed_with_the_tracker(logged_in, make_config, make_trial, run_dir):
    config = make_config()
    tracker = open_tracker(config, run_dir)
    tracker.open(make_trial(config)).log(1, {"train/loss": 1.0})
    tracker.close()
    got = received(logged_in, "tiny-0000")
    assert (got.state, got.summary["state"], len(got.history)) == ("failed", "interrupted", 1)


def test_best_evaluation_ignores_scores_that_are_not_finite(make_config, make_trial, train: Store):
    from sweep.records.cost import Cost
    from sweep.records.trial import Pruned
    from sweep.track.tracker import best_evaluation

    points = tuple(EvalPoint(n, n, n, {"eval/accuracy": value}) for n, value in enumerate((0.2, math.nan, 0.1)))
    assert best_evaluation(Pruned(points, Cost()), make_config().study) == points[0]
    assert best_evaluation(Pruned((), Cost()), make_config().study) is None
