"""The end of a study: the report on disk, the study's own run on the dashboard, and the summary on
the screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sweep.config.secrets import scrub
from sweep.errors import Interrupted, UserError, first_line
from sweep.outputs import dropping_unwritable
from sweep.provenance import Fingerprint
from sweep.records.store import Store
from sweep.report import review
from sweep.report.dashboard import study_ending
from sweep.report.live import kept_current
from sweep.report.summary import summary_lines
from sweep.report.write import write_report
from sweep.track.study_run import StudyRun


@contextmanager
def published(store: Store, study_run: StudyRun) -> Iterator[None]:
    """Keep the report current while the body runs, and report on what it came to. A study without
    a winner has a report too, and one that was interrupted says so."""
    print(f"report: {store.root / 'report.html'}, written again while the study runs", file=sys.stderr)
    try:
        with kept_current(store.root), dropping_unwritable("stdout"):
            yield
    except Exception as error:
        # The user needs this fault, whatever is wrong with the report.
        with suppress(Exception):
            write_report(store, running=False)
        if not isinstance(error, Interrupted):
            study_run.fail(_fault(error))
        raise
    written = write_report(store, running=False)
    # A finished command that is run again finds nothing new; one that was stopped here publishes
    # again.
    if (state := _state(store)) != store.published() or study_run.is_open:
        study_run.finish(study_ending(written.facts, written.path))
        store.note_published(state)
        for line in review.at_end(store, study_run.config, study_run.tracker):
            print(line)
    print("\n".join(summary_lines(written)))


def _fault(error: Exception) -> str:
    """Return why a study has ended, without secrets."""
    if isinstance(error, UserError):
        return scrub("; ".join(map(str, error.faults)))
    return scrub(f"{type(error).__name__}: {first_line(error)}")


def _state(store: Store) -> str:
    """Return a fingerprint of the records to report. It is of their text, since NaN equals no
    NaN."""
    return Fingerprint().add(repr((store.trials(), list(store.finals().values())))).hex()
