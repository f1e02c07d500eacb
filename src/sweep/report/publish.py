"""The end of a study: the report on disk, the study's own run on the dashboard, and the summary on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.report.summary import study_summary, summary_lines
from sweep.report.write import write_report
from sweep.store import Store
from sweep.track.tracker import Ending, Tracker


@contextmanager
def published(store: Store, tracker: Tracker, config: Config) -> Iterator[None]:
    """Report on what the body came to. A study without a winner has a report too; an interrupted one goes on first."""
    known, told = _state(store), (store.root / "report.html").exists()
    try:
        yield
    except UserError:
        # The report may have nothing to tell yet; the fault is what the user needs to read.
        with suppress(UserError):
            write_report(store)
        raise
    report = write_report(store)
    if not told or _state(store) != known:
        _open_study(store, tracker, config, report)
    print("\n".join(summary_lines(store)))


def _state(store: Store) -> str:
    """What there is to report: a finished command given again finds nothing new. As text, since NaN equals no NaN."""
    return repr((store.trials(), store.finals()))


def _open_study(store: Store, tracker: Tracker, config: Config, report: Path) -> None:
    run = tracker.open_study(config)
    files = (report, report.with_suffix(".html"))
    run.finish(Ending("completed", summary=study_summary(store), files=files, trials=tuple(store.trials())))
