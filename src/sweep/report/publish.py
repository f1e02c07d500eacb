"""The end of a study: the report on disk, the study's own run on the dashboard, and the summary on
the screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sweep.analysis.facts import read
from sweep.config.secrets import scrub
from sweep.errors import Interrupted, UserError, first_line
from sweep.provenance import Fingerprint
from sweep.records.store import Store
from sweep.report import review
from sweep.report.dashboard import study_ending
from sweep.report.summary import summary_lines
from sweep.report.write import write_report
from sweep.track.study_run import StudyRun


@contextmanager
def published(store: Store, study_run: StudyRun) -> Iterator[None]:
    """Report on what the body came to. A study without a winner has a report too; an interrupted
    one goes on first."""
    try:
        yield
    except Interrupted:
        raise
    except UserError as error:
        # The user needs the fault, and the report may still be empty.
        with suppress(UserError):
            write_report(store)
        study_run.fail(scrub("; ".join(map(str, error.faults))))
        raise
    except Exception as error:
        study_run.fail(scrub(f"{type(error).__name__}: {first_line(error)}"))
        raise
    report = write_report(store)
    # A finished command that is run again finds nothing new; one that was stopped here publishes
    # again.
    if (state := _state(store)) != store.published() or study_run.is_open:
        study_run.finish(study_ending(read(store), report))
        store.note_published(state)
        for line in review.at_end(store, study_run.config, study_run.tracker):
            print(line)
    print("\n".join(summary_lines(store)))


def _state(store: Store) -> str:
    """Return a fingerprint of the records to report. It is of their text, since NaN equals no
    NaN."""
    return Fingerprint().add(repr((store.trials(), list(store.finals().values())))).hex()
