"""`wandb.Api()` reads back what `wandb.init()` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import wandb

from wandb_mock import MockServer

from .conftest import api_of, starter


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockServer]:
    """Three runs: two trials of a group, the second failed, and a final run outside it."""
    with MockServer(tmp_path_factory.mktemp("backend")) as server:
        start = starter(server)
        for place, (job, group) in enumerate((("trial", "g1"), ("trial", "g1"), ("final", None))):
            run = start(
                id=f"run{place}",
                name=f"name {place}",
                group=group,
                job_type=job,
                tags=[job],
                config={"lr": 10**-place},
            )
            for step in range(6):
                run.log({"loss": place + 1 / (step + 1), "train/global_step": step * 10})
            run.log({"eval/f1": place / 2})
            run.finish(exit_code=int(place == 1))
        yield server


@pytest.fixture(scope="module")
def api(filled: MockServer) -> wandb.Api:
    return api_of(filled)


def test_a_listing(api: wandb.Api) -> None:
    runs = api.runs("mock/study")
    assert len(runs) == 3
    assert [(run.id, run.name, run.state) for run in runs] == [
        ("run0", "name 0", "finished"),
        ("run1", "name 1", "failed"),
        ("run2", "name 2", "finished"),
    ]
    assert [(run.group, run.job_type, run.tags) for run in runs][1:] == [
        ("g1", "trial", ["trial"]),
        (None, "final", ["final"]),
    ]
    assert [run.config["lr"] for run in runs] == [1, 0.1, 0.01]
    assert [run.summary["eval/f1"] for run in runs] == [0, 0.5, 1]


def test_a_listing_comes_in_pages(api: wandb.Api) -> None:
    assert [run.id for run in api.runs("mock/study", per_page=1)] == ["run0", "run1", "run2"]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({}, "012"),
        ({"group": "g1"}, "01"),
        ({"group": None}, "2"),
        ({"jobType": "final"}, "2"),
        ({"state": "failed"}, "1"),
        ({"tags": "trial"}, "01"),
        ({"tags": {"$in": ["final", "x"]}}, "2"),
        ({"$and": [{"group": "g1"}, {"state": "finished"}]}, "0"),
        ({"$or": [{"jobType": "final"}, {"state": {"$in": ["failed", "crashed"]}}]}, "12"),
        ({"$not": {"group": "g1"}}, "2"),
        ({"state": {"$ne": "failed"}}, "02"),
        ({"display_name": {"$regex": "^name [01]$"}}, "01"),
        ({"name": "run2"}, "2"),
        ({"config.lr": {"$lt": 0.5}}, "12"),
        ({"config.lr.value": 1}, "0"),
        ({"summary_metrics.eval/f1": {"$gte": 0.5}}, "12"),
        ({"summary_metrics.absent": {"$exists": True}}, ""),
    ],
)
def test_filters(api: wandb.Api, condition: dict[str, Any], found: str) -> None:
    assert "".join(run.id[-1] for run in api.runs("mock/study", filters=condition)) == found


def test_a_filter_that_is_not_known_is_an_error(api: wandb.Api) -> None:
    with pytest.raises(Exception, match="statee"):
        list(api.runs("mock/study", filters={"statee": "failed"}))


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("-created_at", "210"),
        ("+config.lr.value", "210"),
        ("-summary_metrics.eval/f1", "210"),
        ("-jobType", "012"),
    ],
)
def test_order(api: wandb.Api, order: str, found: str) -> None:
    assert "".join(run.id[-1] for run in api.runs("mock/study", order=order)) == found


def test_history_as_a_table(api: wandb.Api) -> None:
    table = api.run("mock/study/run1").history()
    assert isinstance(table, pd.DataFrame) and len(table) == 7
    assert table["loss"].dropna().tolist() == [1 + 1 / step for step in range(1, 7)]
    assert table["train/global_step"].dropna().tolist() == [0, 10, 20, 30, 40, 50]


def test_sampled_history(api: wandb.Api) -> None:
    run = api.run("mock/study/run0")
    assert [row["_step"] for row in run.history(samples=3, pandas=False)] == [0, 3, 6]
    assert run.history(keys=["eval/f1"], pandas=False) == [{"_step": 6, "eval/f1": 0}]


@pytest.mark.parametrize("page_size", [2, 1000])
def test_scanned_history(api: wandb.Api, page_size: int) -> None:
    run = api.run("mock/study/run0")
    assert [row["_step"] for row in run.scan_history(page_size=page_size)] == list(range(7))
    losses = [row["loss"] for row in run.scan_history(keys=["loss"], page_size=page_size)]
    assert losses == [1 / step for step in range(1, 7)]


def test_absent_objects(api: wandb.Api) -> None:
    with pytest.raises(wandb.errors.CommError, match="Could not find run"):
        api.run("mock/study/absent")
    with pytest.raises(ValueError, match="Could not find project"):
        list(api.runs("mock/absent"))


def test_projects(api: wandb.Api) -> None:
    assert [project.name for project in api.projects("mock")] == ["study"]
    assert api.project("study", entity="mock").id
    assert api.viewer.username == "mock"


def test_waiting_for_an_end_that_has_come(api: wandb.Api) -> None:
    run = api.run("mock/study/run1")
    run.wait_until_finished()
    assert run.state == "failed"


def test_a_run_is_changed_through_the_api(filled: MockServer) -> None:
    run = api_of(filled).run("mock/study/run2")
    run.tags.append("chosen")
    run.update()
    kept = filled.backend.runs["mock", "study", "run2"]
    assert kept.tags == ["final", "chosen"]
    assert (kept.config, kept.display_name, kept.state) == ({"lr": 0.01}, "name 2", "finished")


def test_a_sweep(filled: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", filled.url)
    monkeypatch.setenv("WANDB_API_KEY", filled.api_key)
    for name in ("WANDB_ENTITY", "WANDB_PROJECT"):  # which `wandb.sweep` sets, and leaves set
        monkeypatch.setenv(name, "")
    config = {"method": "custom", "parameters": {"lr": {"min": 0.1, "max": 1.0}}}
    sweep_id = wandb.sweep(config, entity="mock", project="study")
    assert api_of(filled).sweep(f"mock/study/{sweep_id}").config["method"] == "custom"


def test_the_client_asked_for_nothing_unknown(filled: MockServer) -> None:
    assert not filled.backend.unknown_operations
