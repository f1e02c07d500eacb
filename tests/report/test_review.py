"""The review of a run directory, as far as it needs no server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.config.schema import Config, TrackerConfig
from sweep.records.store import Store
from sweep.report import review
from sweep.track.credentials import Account
from sweep.track.dashboard_ids import DashboardIds
from sweep.track.null import NullTracker
from sweep.track.review.content import Review, SearchedKey, Written

from .conftest import BATCH, LR, SPACE, build, config, final, six_trials

WANDB = TrackerConfig(project="intents", entity="team", registry="models/all")


@pytest.fixture
def finished(tmp_path: Path) -> Store:
    trials = six_trials()
    return build(tmp_path / "run", trials, ending=final(trials[1]))


def reviewed(store: Store, tracker: TrackerConfig = WANDB) -> Review:
    return review.review_of(store, tracker, DashboardIds.of(store.root, "http://a", tracker))


def tracked(tracker: TrackerConfig) -> Config:
    return config().model_copy(update={"tracker": tracker})


def test_what_a_review_is_made_of(finished: Store) -> None:
    found = reviewed(finished)
    assert (found.project, found.entity, found.metric, found.score) == (
        "intents", "team", "eval/accuracy", "best/eval/accuracy",
    )  # fmt: skip
    assert found.searched == (SearchedKey(LR, LR, log=True), SearchedKey(BATCH, BATCH))
    assert found.sweep["parameters"].keys() == {key.split(".")[0] for key in SPACE}
    assert (found.linked_to, found.maximize) == ("wandb-registry-models/all", True)
    assert found.model == f"{found.study}-model" and found.aliases == (found.study,)


def test_the_conclusions_are_those_of_the_report(finished: Store) -> None:
    text = reviewed(finished).conclusions
    assert "**Trial 1 won** with eval/accuracy 0.8833" in text and "## On the test split" in text
    assert "![" not in text and "<details>" not in text, "pictures and folded parts are files of the run directory"


def test_a_study_that_still_runs_has_no_model_to_link(tmp_path: Path) -> None:
    found = reviewed(build(tmp_path / "run", six_trials()[:3]))
    assert found.model == "" and "**Trial 1 leads**" in found.conclusions


def test_without_a_sweep_none_is_made_later(finished: Store) -> None:
    assert reviewed(finished, WANDB.model_copy(update={"sweep": False})).sweep == {}


@pytest.mark.parametrize(
    ("tracker", "found"),
    [
        (TrackerConfig(), "wandb"),
        (TrackerConfig(name="mock"), "mock"),
        (TrackerConfig(name="none"), None),
        (TrackerConfig(mode="disabled"), None),
        (TrackerConfig(name="mlflow", target="a.B"), None),
        (TrackerConfig(name="mlflow", target="a.B", also={"wandb": {"name": "wandb", "entity": "e"}}), "wandb"),
    ],
)
def test_the_tracker_that_is_reviewed(tracker: TrackerConfig, found: str | None) -> None:
    settings = review.wandb_tracker(tracked(tracker))
    assert (settings and settings.name) == found
    assert settings is None or settings.project == "sweep", "that of the environment, or the default one"


def test_at_the_end_only_where_it_is_wanted(finished: Store) -> None:
    assert list(review.at_end(finished, tracked(TrackerConfig()), NullTracker())) == []


def test_at_the_end_of_an_offline_study_a_line_says_what_to_type(
    finished: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "_connection", lambda _: SimpleNamespace(account=None))
    (line,) = review.at_end(finished, tracked(TrackerConfig(review=True)), NullTracker())
    assert line.endswith(f"after `wandb sync`: sweep review {finished.root}")


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Written], None]:
    """Answer in place of the process that writes the review."""

    def answer(found: Written) -> None:
        monkeypatch.setattr("sweep.report.review.written", lambda *_, **__: found)

    return answer


def test_ids_are_kept_for_the_next_review(finished: Store, answered: Callable[[Written], None]) -> None:
    answered(Written({"report": "http://a/report"}, {"report": "r1"}))
    found = review.write_review(finished, WANDB, Account("http://a"), "http://a", seconds=1)
    assert list(review.lines(found)) == ["Report    http://a/report"]
    assert reviewed(finished).ids == {"report": "r1"}


def test_refused_parts_are_told(finished: Store, answered: Callable[[Written], None]) -> None:
    answered(Written({"workspace": "http://a/w"}, {}, ("no report: HTTP 400",)))
    found = review.write_review(finished, WANDB, Account("http://a"), "http://a", seconds=1)
    assert list(review.lines(found)) == ["Workspace http://a/w", "W&B: no report: HTTP 400"]


def test_at_the_end_of_a_study_whose_tracker_is_disabled(finished: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    (line,) = review.at_end(finished, tracked(TrackerConfig(review=True)), NullTracker())
    assert line == "W&B: no workspace and report, since W&B is disabled (WANDB_MODE)"


def test_ids_that_cannot_be_kept_cost_one_line(finished: Store, answered: Callable[[Written], None]) -> None:
    (finished.root / ".dashboard.json").mkdir()
    answered(Written({"report": "http://a/report"}, {"report": "r1"}))
    found = review.write_review(finished, WANDB, Account("http://a"), "http://a", seconds=1)
    address, note = review.lines(found)
    assert address.endswith("http://a/report") and "their ids cannot be kept (" in note


def test_a_client_that_names_no_server_has_the_ids_of_the_public_one(tmp_path: Path) -> None:
    DashboardIds.of(tmp_path, "https://api.wandb.ai/", WANDB).note({"report": "r1"})
    assert DashboardIds.of(tmp_path, "", WANDB).read() == {"report": "r1"}


def test_a_review_is_written_where_the_run_of_the_study_is(finished: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Review] = []

    def answer(given: Review, *_: object, **__: object) -> Written:
        asked.append(given)
        return Written()

    monkeypatch.setattr("sweep.report.review.written", answer)
    for address in ("https://wandb.ai/lab/old%20one/runs/toy-study-1", "run/wandb/offline-run-20250101_120000-toy"):
        finished.note_study_address(address)
        review.write_review(finished, WANDB, Account("http://a"), "", seconds=1)
    assert [(one.entity, one.project) for one in asked] == [("lab", "old one"), ("team", "intents")]


def test_a_second_objective_is_drawn_against_the_first(tmp_path: Path) -> None:
    found = reviewed(build(tmp_path / "run", six_trials(), settings=config(second_metric="cost/seconds")))
    assert (found.second, found.second_score) == ("cost/seconds", "optuna/second_value")
