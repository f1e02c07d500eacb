"""The end of a study: the report on disk, the study's own run on the dashboard, and the summary on
the screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweep.analysis.facts import read
from sweep.analysis.summary import study_summary
from sweep.config.schema import Config
from sweep.provenance import Fingerprint
from sweep.records.store import Store
from sweep.report.live import kept_current
from sweep.report.summary import summary_lines
from sweep.report.write import write_report
from sweep.track.tracker import Ending, Tracker


@contextmanager
def published(store: Store, tracker: Tracker, config: Config) -> Iterator[None]:
    """Keep the report current while the body runs, and report on what it came to. A study without
    a winner has a report too, and one that was interrupted says so."""
    print(f"report: {store.root / 'report.html'}, written again while the study runs", file=sys.stderr)
    try:
        with kept_current(store.root):
            yield
    except Exception:
        # The user needs this fault, whatever is wrong with the report.
        with suppress(Exception):
            write_report(store, running=False)
        raise
    report = write_report(store, running=False)
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
