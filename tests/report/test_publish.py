from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import pytest

from sweep.config.schema import Config
from sweep.errors import Interrupted, UserError
from sweep.records.final import Confirmation
from sweep.records.store import Store
from sweep.report.pictures import Drawn
from sweep.report.publish import published
from sweep.track.null import NullRun, NullTracker
from sweep.track.study_run import StudyRun
from sweep.track.tracker import Ending, Run

from .conftest import completed, config, confirmation, final, six_trials


@pytest.fixture(autouse=True)
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a report, and does not matter here; nor does watching."""
    monkeypatch.setattr("sweep.report.write.draw", lambda figures, folder, known: Drawn())
    monkeypatch.setattr("sweep.report.publish.kept_current", lambda root: nullcontext())


@dataclass
class Counting(NullTracker):
    studies: list[str] = field(default_factory=list)

    def open_study(self, config: Config) -> Run:
        self.studies.append(config.study.study_name)
        return NullRun()


def published_runs(store: Store, body: Callable[[], object] = lambda: None) -> int:
    """Return the number of study runs that a command opens which does `body`."""
    tracker = Counting()
    with published(store, StudyRun(tracker, store, config(), rows=1)):
        body()
    return len(tracker.studies)


def test_a_command_that_does_nothing_new_opens_no_study_run(store: Store) -> None:
    assert published_runs(store) == 1, "nothing was published yet"
    assert published_runs(store) == 0


def test_the_records_are_read_and_analysed_once(store: Store, analysed: list[str]) -> None:
    published_runs(store)
    assert analysed == ["read", "analysed"]


def test_another_trial_is_reported(store: Store) -> None:
    published_runs(store)
    assert published_runs(store, lambda: store.write_trial(completed(9, (0.5,), (0.7,), {}))) == 1


def test_a_confirmation_is_reported(store: Store) -> None:
    published_runs(store)
    found: Confirmation = confirmation()
    ending = replace(final(six_trials()[1]), confirmation=found)
    assert published_runs(store, lambda: store.write_final(ending)) == 1


def test_a_study_run_that_a_stop_came_into_is_reported_again(store: Store) -> None:
    class Stopped(Counting):
        def open_study(self, config: Config) -> Run:  # noqa: ARG002
            raise KeyboardInterrupt

    study_run = StudyRun(Stopped(), store, config(), rows=1)
    with pytest.raises(KeyboardInterrupt), published(store, study_run):
        pass
    assert published_runs(store) == 1
    assert published_runs(store) == 0


@dataclass
class KeptRun(NullRun):
    endings: list[Ending]

    def finish(self, ending: Ending) -> None:
        self.endings.append(ending)


@dataclass
class Kept(NullTracker):
    """Keeps the endings of the study's runs."""

    endings: list[Ending] = field(default_factory=list)

    def open_study(self, config: Config) -> Run:  # noqa: ARG002
        return KeptRun(self.endings)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (UserError.of("study.storage", "does not answer at db://me:secret@host"), "study.storage: does not answer"),
        (RuntimeError("a bug"), "RuntimeError: a bug"),
        (Interrupted("stopped"), None),
    ],
)
def test_an_error_ends_the_run_that_is_open_and_a_stop_leaves_it_to_the_tracker(
    store: Store, error: Exception, failure: str | None
) -> None:
    tracker = Kept()
    for begun in (True, False):
        study_run = StudyRun(tracker, store, config(), rows=1)
        with pytest.raises(type(error)), published(store, study_run):
            if begun:
                study_run.open()
            raise error
    found = [(ending.state, ending.code, str((ending.summary or {})["failure"])) for ending in tracker.endings]
    assert [one[:2] for one in found] == ([("failed", 1)] if failure else [])
    assert all(one[2].startswith(str(failure)) and "secret" not in one[2] for one in found)
