"""The end of a study: the report on disk, the study's own run on the dashboard, and the summary on
the screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweep.analysis.facts import read
from sweep.analysis.summary import study_summary
from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.provenance import Fingerprint
from sweep.records.store import Store
from sweep.report.summary import summary_lines
from sweep.report.write import write_report
from sweep.track.tracker import Ending, Tracker


@contextmanager
def published(store: Store, tracker: Tracker, config: Config) -> Iterator[None]:
    """Report on what the body came to. A study without a winner has a report too; an interrupted
    one goes on first."""
    try:
        yield
    except UserError:
        # The user needs the fault, and the report may still be empty.
        with suppress(UserError):
            write_report(store)
        raise
    report = write_report(store)
    # A finished command that is run again finds nothing new; one that was stopped here publishes
    # again.
    if (state := _state(store)) != store.published():
        _open_study(store, tracker, config, report)
        store.note_published(state)
    print("\n".join(summary_lines(store)))


def _state(store: Store) -> str:
    """Return a fingerprint of the records to report. It is of their text, since NaN equals no
    NaN."""
    return Fingerprint().add(repr((store.trials(), list(store.finals().values())))).hex()


def _open_study(store: Store, tracker: Tracker, config: Config, report: Path) -> None:
    run = tracker.open_study(config)
    files = (report, report.with_suffix(".html"))
    run.finish(Ending("completed", summary=study_summary(read(store)), files=files, trials=tuple(store.trials())))
