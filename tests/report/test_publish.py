from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import pytest

from sweep.config.schema import Config
from sweep.records.final import Confirmation
from sweep.records.store import Store
from sweep.report.pictures import Drawn
from sweep.report.publish import published
from sweep.track.null import NullRun, NullTracker
from sweep.track.tracker import Run

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
    with published(store, tracker, config()):
        body()
    return len(tracker.studies)


def test_a_command_that_does_nothing_new_opens_no_study_run(store: Store) -> None:
    assert published_runs(store) == 1, "nothing was published yet"
    assert published_runs(store) == 0


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

    with pytest.raises(KeyboardInterrupt), published(store, Stopped(), config()):
        pass
    assert published_runs(store) == 1
    assert published_runs(store) == 0
