"""The view and the report of a study, as `wandb_workspaces` reads them back from the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from sweep.track.dashboard_ids import DashboardIds
from sweep.track.open import open_tracker
from sweep.track.review.content import Review, SearchedKey, Written
from sweep.track.review.write import write
from sweep.track.tracker import Ending, JobType
from wandb_mock import MockServer
from wandb_mock.faults import Fault

REVIEW = Review(
    study="tiny",
    project="intents",
    metric="eval/accuracy",
    score="best/eval/accuracy",
    maximize=True,
    searched=(
        SearchedKey("optimizer.learning_rate", "optimizer.learning_rate", log=True),
        SearchedKey("adapter", "params.adapter"),
    ),
    conclusions="# tiny\n\n**Trial 0 won** with 0.9.",
    sweep={"method": "custom", "name": "tiny", "parameters": {"params": {"parameters": {"adapter": {"values": ["a"]}}}}},
)  # fmt: skip


@pytest.fixture
def studied(logged_in: MockServer, make_config, make_trial, run_dir) -> MockServer:
    """A server with the runs of a study, in no sweep: as after `wandb sync`."""
    config = make_config(project="intents")
    tracker = open_tracker(config, run_dir)
    for number in (0, 1):
        tracker.open(make_trial(config, number)).finish(Ending("completed"))
    tracker.open(make_trial(config), JobType.FINAL).finish(Ending("completed"))
    tracker.close()
    return logged_in


def panels_of(view: ws.Workspace) -> dict[str, list[Any]]:
    return {section.name: list(section.panels) for section in view.sections}


def test_the_view_has_every_section_and_the_runs_of_the_study_alone(studied: MockServer) -> None:
    written = write(REVIEW)
    assert (written.fault, written.notes) == ("", ())
    view = ws.Workspace.from_url(written.addresses["workspace"])
    assert (view.name, view.entity, view.project) == ("Study tiny", "mock", "intents")
    assert view.runset_settings.filters == "Metric(\"Group\") == 'tiny'"
    found = panels_of(view)
    assert list(found) == ["Best so far", "Curves by trial", "Searched values", "Trials by state", "Cost", "System"]
    assert [panel.y[0].name for panel in found["Curves by trial"]] == ["eval/accuracy", "eval/loss", "train/loss"]
    parallel, importance, *scatters = found["Searched values"]
    assert isinstance(parallel, wr.ParallelCoordinatesPlot) and isinstance(importance, wr.ParameterImportancePlot)
    assert [column.metric.name for column in parallel.columns] == [
        "optimizer.learning_rate", "params.adapter", "best/eval/accuracy",
    ]  # fmt: skip
    assert (parallel.columns[0].log, importance.with_respect_to, len(scatters)) == (True, "best/eval/accuracy", 2)
    assert [panel.y[0].name for panel in found["System"]][0] == "system/cpu"


def test_the_report_has_the_conclusions_beside_live_panels(studied: MockServer) -> None:
    report = wr.Report.from_url(write(REVIEW).addresses["report"])
    texts = [block.text for block in report.blocks if isinstance(block, wr.MarkdownBlock)]
    grids = [block for block in report.blocks if isinstance(block, wr.PanelGrid)]
    assert (report.title, texts) == ("Study tiny", [REVIEW.conclusions])
    assert len(grids) == 6
    assert {(grid.runsets[0].entity, grid.runsets[0].project) for grid in grids} == {("mock", "intents")}
    assert all("tiny" in str(grid.runsets[0].filters) for grid in grids)


def test_the_next_review_renews_both(studied: MockServer) -> None:
    first = write(REVIEW)
    second = write(replace(REVIEW, conclusions="**Trial 1 won**", ids=first.ids))
    assert second.addresses == first.addresses
    assert len(studied.backend.views.of("mock", "intents")) == 2
    (text,) = [b.text for b in wr.Report.from_url(first.addresses["report"]).blocks if isinstance(b, wr.MarkdownBlock)]
    assert text == "**Trial 1 won**"


def test_a_review_that_was_killed_leaves_the_ids_of_what_it_had_written(studied: MockServer, tmp_path: Path) -> None:
    kept = DashboardIds(tmp_path / ".dashboard.json", "mock//intents")

    def killed(self: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sweep.track.review.write._Writing.report", killed)
        write(replace(REVIEW, kept=kept))
    assert write(replace(REVIEW, ids=kept.read(), kept=kept)).fault == ""
    assert len(studied.backend.views.of("mock", "intents")) == 2
    assert kept.read().keys() == {"sweep", "view", "view_id", "report"}


def test_a_view_that_somebody_deleted_is_made_again(studied: MockServer) -> None:
    first = write(REVIEW)
    for view in studied.backend.views.of("mock", "intents"):
        studied.backend.views.drop(view)
    second = write(replace(REVIEW, ids=first.ids))
    assert second.notes == () and len(studied.backend.views.of("mock", "intents")) == 2


def test_a_synced_study_gets_its_sweep_with_all_trials(studied: MockServer) -> None:
    first = write(REVIEW)
    (sweep,) = wandb.Api().project("intents", "mock").sweeps()
    assert sorted(run.name for run in sweep.runs) == ["tiny-0000", "tiny-0001"]
    assert first.addresses["sweep"].endswith(f"/mock/intents/sweeps/{sweep.id}")
    assert write(replace(REVIEW, ids=first.ids)).ids["sweep"] == sweep.id
    assert len(studied.backend.sweeps) == 1


@pytest.mark.parametrize(
    ("refused", "note", "left"),
    [
        ("UpsertView2", "no workspace: ", {"report", "sweep"}),
        ("upsertView", "no report: ", {"workspace", "sweep"}),
        ("UpsertSweep", "no sweep: ", {"workspace", "report"}),
    ],
)
def test_a_part_that_the_server_refuses_costs_one_line(studied: MockServer, refused: str, note: str, left: set[str]):
    studied.faults.add(Fault.error(400, times=50, match=f"graphql {refused}"))
    written = write(REVIEW)
    assert (set(written.addresses), written.fault) == (left, "")
    assert len(written.notes) == 1 and written.notes[0].startswith(note)


def test_a_server_without_views_is_a_fault(studied: MockServer) -> None:
    for operation in ("UpsertView2", "upsertView"):
        studied.faults.add(Fault.error(400, times=50, match=operation))
    assert "takes neither a view nor a report (" in write(REVIEW).fault


def test_a_study_that_never_arrived_is_a_fault(studied: MockServer) -> None:
    assert write(replace(REVIEW, study="other")) == Written(
        fault="mock/intents has no run of the study other", never_arrived=True
    )


@pytest.mark.parametrize("name", ["it's", 'a "quoted" one', "back\\slash", "ünïcode"])
def test_any_name_of_a_study_is_filtered_by(studied: MockServer, name: str) -> None:
    from sweep.track.review.workspace import workspace

    spec = workspace(replace(REVIEW, study=name), "mock")._to_model().spec
    assert spec.section.run_sets[0].filters["filters"][0]["value"] == name


def test_the_model_of_a_synced_study_is_linked(studied: MockServer, make_config, make_trial, run_dir, tmp_path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("w")
    config = make_config(project="intents")
    tracker = open_tracker(config, run_dir)
    tracker.open(make_trial(config), JobType.REFIT).finish(Ending("completed", artifact=tmp_path / "model"))
    tracker.close()
    review = replace(REVIEW, model="tiny-model", linked_to="wandb-registry-models/tiny", aliases=("tiny",))
    written = write(review)
    assert (written.addresses["registry"], written.notes) == ("mock-organization/wandb-registry-models/tiny:v0", ())
