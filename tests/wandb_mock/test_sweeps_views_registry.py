"""Sweeps, saved views, reports, registries and alerts, as `wandb.Api()` and `wandb_workspaces` read
them back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces

from wandb_mock import MockServer
from wandb_mock.backend import Backend
from wandb_mock.page import render
from wandb_mock.records import Artifact, Sweep

from .conftest import api_of, starter

CONFIG = {"method": "custom", "name": "tiny", "parameters": {"lr": {"values": [1, 2]}}}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockServer]:
    """Two runs: one with an artifact, one that used it and alerted."""
    folder = tmp_path_factory.mktemp("backend")
    (folder / "weights").write_text("w")
    with MockServer(folder / "server") as server:
        start = starter(server)
        first = start(id="first", config={"lr": 1})
        artifact = wandb.Artifact("tiny-model", type="model")
        artifact.add_file(str(folder / "weights"))
        first.log_artifact(artifact, aliases=["best"]).wait()
        linked = first.link_artifact(artifact, "wandb-registry-models/intents", aliases=["tiny"])
        assert linked is not None and linked.is_link
        first.finish()
        second = start(id="second", config={"lr": 2})
        second.use_artifact(artifact)
        second.alert("a new best", "0.9", level="WARN", wait_duration=0)
        second.finish()
        yield server


@pytest.fixture
def signed_in(filled: MockServer, monkeypatch: pytest.MonkeyPatch) -> MockServer:
    monkeypatch.setenv("WANDB_BASE_URL", filled.url)
    monkeypatch.setenv("WANDB_API_KEY", filled.api_key)
    return filled


def again(server: MockServer) -> Backend:
    """Return what a later server reads from the folder."""
    return Backend.open(server.backend.disk.folder)


def test_a_sweep_takes_runs_that_are_there(filled: MockServer) -> None:
    api = api_of(filled)
    from wandb.apis.public.sweeps import _set_sweep_state, _upsert_sweep

    made, _ = _upsert_sweep(api, CONFIG, entity="mock", project="study", prior_runs=["first", "second"])
    sweep = api.sweep(f"mock/study/{made['name']}")
    assert sweep.config == CONFIG
    assert sorted(run.id for run in sweep.runs) == ["first", "second"]
    _set_sweep_state(api, made["name"], "FINISHED", entity="mock", project="study")
    assert [one.state for one in api.project("study", "mock").sweeps()] == ["FINISHED"]
    assert [run.sweep for run in again(filled).runs_of("mock", "study")] == [made["name"]] * 2


def test_a_workspace_is_saved_changed_and_read_back(signed_in: MockServer) -> None:
    panels: list[Any] = [reports.LinePlot(x="train/global_step", y=["eval/f1"])]
    made = workspaces.Workspace(
        entity="mock", project="study", name="tiny", sections=[workspaces.Section(name="curves", panels=panels)]
    ).save()
    made.name = "tiny again"
    made.save()
    read = workspaces.Workspace.from_url(made.url)
    assert (read.name, read.sections[0].name) == ("tiny again", "curves")
    assert isinstance(read.sections[0].panels[0], reports.LinePlot)
    assert len(signed_in.backend.views.of("mock", "study", type="project-view")) == 1
    assert len(again(signed_in).views.of("mock", "study", name=made._internal_name)) == 1


def test_a_report_is_saved_changed_read_back_and_deleted(signed_in: MockServer) -> None:
    report = reports.Report(entity="mock", project="study", title="tiny", blocks=[reports.MarkdownBlock("**won**")])
    report.save()
    report.description = "a study"
    report.save()
    read = reports.Report.from_url(report.url)
    assert (read.title, read.description) == ("tiny", "a study")
    assert [block.text for block in read.blocks if isinstance(block, reports.MarkdownBlock)] == ["**won**"]
    assert [one.display_name for one in api_of(signed_in).reports("mock/study")] == ["tiny"]
    assert report.delete()
    assert not list(api_of(signed_in).reports("mock/study"))


def test_a_linked_version_is_found_in_its_registry(filled: MockServer) -> None:
    api = api_of(filled)
    linked = api.artifact("mock-organization/wandb-registry-models/intents:tiny")
    assert (linked.qualified_name, linked.version) == ("mock-organization/wandb-registry-models/intents:tiny", "v0")
    assert (linked.source_name, linked.type) == ("tiny-model:v0", "model")
    source = api.artifact("mock/study/tiny-model:best")
    assert [one.name for one in source.linked_artifacts] == ["intents:v0"]
    assert again(filled).links.by_name("mock-organization", "wandb-registry-models", "intents") is not None


def test_the_next_version_takes_the_alias_in_the_registry(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    home = ("org", "wandb-registry-models", "intents")
    versions = [Artifact(number, "mock", "study", "model", "tiny", digest=str(number)) for number in (1, 2)]
    links = [backend.links.link(version, home, ["tiny"]) for version in (*versions, versions[0])]
    assert [link.version for link in links] == [0, 1, 0]
    assert [link.aliases for link in backend.links.of_collection(home)] == [["latest", "tiny"], []]


def test_an_alert_is_kept(filled: MockServer) -> None:
    assert [(one.run[2], one.title, one.level) for one in filled.backend.alerts] == [("second", "a new best", "WARN")]
    assert again(filled).alerts == filled.backend.alerts


def test_the_pages_show_them(signed_in: MockServer) -> None:
    backend = signed_in.backend
    report = reports.Report(
        entity="mock", project="study", title="<won>",
        blocks=[
            reports.MarkdownBlock("**0.9** & <b>"),
            reports.PanelGrid(
                runsets=[reports.Runset(entity="mock", project="study")],
                panels=[reports.LinePlot(title="curves", x="Step", y=["loss"])],
            ),
        ],
    ).save()  # fmt: skip
    project = render(backend, ["mock", "study"]) or ""
    assert "&lt;won&gt;" in project and "<td>report</td>" in project and "a new best" in project
    page = render(backend, report.url.removeprefix(f"{signed_in.url}/").split("/")) or ""
    assert "**0.9** &amp; &lt;b&gt;" in page and "curves" in page and "Run History Line Plot" in page
    assert render(backend, ["mock", "other", "reports", report.url.rpartition("--")[2]]) is None


def test_the_page_of_a_sweep_has_its_runs(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    run, _ = backend.ensure_run("mock", "study", "r1")
    backend.update_run(run, {"sweep": "s1"})
    backend.keep_sweep(Sweep("mock", "study", "s1", "method: custom", "tiny"))
    page = render(backend, ["mock", "study", "sweeps", "s1"]) or ""
    assert "r1" in page and "method: custom" in page and "1 run" in page
    assert render(backend, ["mock", "other", "sweeps", "s1"]) is None
