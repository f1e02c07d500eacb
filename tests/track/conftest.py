from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sweep.config.schema import Config
from sweep.provenance import DataState, GitState, ModelState
from sweep.records.cost import Cost
from sweep.records.events import append_row
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, Step, TrialPlan, TrialRecord
from sweep.track.tracker import Run
from wandb_mock import MockServer
from wandb_mock.records import Run as Received


def received(server: MockServer, name: str) -> Received:
    return next(run for run in server.backend.runs.values() if run.display_name == name)


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody ever logged in to W&B."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    monkeypatch.chdir(home)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MockServer]:
    """A backend that is somebody else's: known by its address and key alone."""
    with MockServer(tmp_path / "elsewhere") as running:
        yield running


@pytest.fixture
def logged_in(server: MockServer, monkeypatch: pytest.MonkeyPatch) -> MockServer:
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", server.api_key)
    return server


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def store(run_dir: Path) -> Store:
    return Store(run_dir)


@pytest.fixture
def make_config(run_dir: Path) -> Callable[..., Config]:
    def make(name: str = "wandb", *, storage: str | None = None, **tracker: Any) -> Config:
        sections = {
            "run_dir": str(run_dir),
            "study": {"study_name": "tiny", "storage": storage},
            "tracker": {"name": name, "finish_timeout": 20.0, "tags": ("unit",), **tracker},
        }
        return Config.model_validate(sections)

    return make


@pytest.fixture
def make_lock() -> Callable[..., Lock]:
    def make(config: Config, space: Mapping[str, Any] | None = None) -> Lock:
        data = DataState("data/rows.csv", "", "f1", {"train": 20, "validation": 8}, ("no", "yes"))
        return Lock(
            "e1", config, space or {}, "python -m sweep", {}, {}, {}, GitState("c1"), data,
            ModelState("tiny", "", "m1"), "now",
        )  # fmt: skip

    return make


@pytest.fixture
def make_trial() -> Callable[..., TrialPlan]:
    def make(config: Config, number: int = 0) -> TrialPlan:
        params = {"optimizer.learning_rate": 0.001 * (number + 1)}
        return TrialPlan(number, params, config, total_steps=4, command=f"python -m sweep study.seed={number}")

    return make


@pytest.fixture
def train(store: Store) -> Callable[..., TrialRecord]:
    """Play a trial: two training rows and two evaluations, to the run and to the store alike, then
    the record."""

    def play(trial: TrialPlan, run: Run, ending: str = "completed") -> TrialRecord:
        points = []
        for index in (1, 2):
            step = Step(2 * index, 4, index / 2, {"train/loss": 1 / index, "train/epoch": index / 2})
            point = EvalPoint(index, 2 * index, index / 2, {"eval/accuracy": 0.9 - 0.1 * index, "eval/loss": 0.1 / 3})
            for event in (step, point):
                append_row(event, store.trial_dir(trial.number))
                run.log(event.step, event.metrics)
            points.append(point)
        evals, cost = tuple(points), Cost(seconds=1.5)
        outcome: Completed | Pruned | Failed
        match ending:
            case "completed":
                outcome = Completed(evals[0], evals, cost)
            case "pruned":
                outcome = Pruned(evals, cost)
            case reason:
                outcome = Failed(FailureReason(reason), "the loss is nan", evals, cost)
        record = TrialRecord(trial.number, trial.params, outcome, trial.command, 4, "then", "now", run.address)
        store.write_trial(record)
        return record

    return play
