"""optuna-dashboard on a study, with the names of its trials and the report beside it. What the
dashboard would write is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial
from optuna_dashboard import _note as notes
from optuna_dashboard import wsgi

from sweep.records.store import Store
from sweep.records.trial import ranked
from sweep.records.winner import read_lock
from sweep.report.units import state
from sweep.study.read_only_storage import ReadOnlyStorage

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REPORT = "/report"
_READING = ("GET", "HEAD")
_FRESH = 5.0  # seconds for which the records that were read are taken to hold
_METRICS = "study:metric_names"  # Optuna's own key
# The report's scripts are its own, and need nothing from elsewhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_NO_REPORT = "<!DOCTYPE html><title>No report yet</title><p>There is no report.html yet: sweep report {run_dir}</p>"


@dataclass(slots=True)
class ReportLabels:
    """Names a study's trials as its report does, and links to it.

    `marks` are the winner's, the best trial's and those of paused trials, `ends` the states of
    these and of all trials that have a record. Both are read again after five seconds.
    """

    store: Store
    metrics: list[str] = field(init=False)
    marks: Mapping[int, str] = field(default_factory=dict)
    ends: Mapping[int, str] = field(default_factory=dict)
    _read: float | None = None

    def __post_init__(self) -> None:
        self.metrics = [one.metric for one in read_lock(self.store).config.study.objectives]

    def study_user_attributes(self) -> dict[str, Any]:
        """Return the path of the report, on the server that the browser has reached."""
        return {"report": REPORT}

    def study_attributes(self, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Return the name of each objective, and notes with links to the report."""
        self._refresh()
        found: dict[str, Any] = {_METRICS: self.metrics}
        found |= _note(None, f"Read only: {self.store.root}. [**The report**]({REPORT}) has the results in words.")
        for trial in trials:
            if trial.number in self.ends:
                place = f"[In the report]({REPORT}#trial-{trial.number})"
                found |= _note(trial._trial_id, f"**{self._title(trial)}**, {self.ends[trial.number]}. {place}.")
        return found

    def trial_attributes(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the trial's name in the report."""
        self._refresh()
        return {"trial": self._title(trial)}

    def _title(self, trial: FrozenTrial) -> str:
        mark = self.marks.get(trial.number)
        return f"trial {trial.number} ({mark})" if mark else f"trial {trial.number}"

    def _refresh(self) -> None:
        if self._read is not None and time.monotonic() - self._read < _FRESH:
            return
        self._read = time.monotonic()
        records, final = self.store.trials(), self.store.final()
        best = next(iter(ranked(records, read_lock(self.store).config.study.objective)), None)
        paused = {record.number: "paused" for record in self.store.paused_trials()}
        marks = {} if best is None else {best.number: "best in the search" if final else "best so far"}
        self.marks = paused | marks | ({final.number: "winner"} if final else {})
        self.ends = paused | {record.number: state(record.state) for record in records}


def application(storage: ReadOnlyStorage, store: Store) -> WSGIApplication:
    """Return the dashboard on `storage` with the study's report at /report."""
    dashboard: WSGIApplication = wsgi(storage)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in _READING:
            return _refusal(start)
        if environ.get("PATH_INFO", "").rstrip("/") == REPORT:
            return _report(store, start)
        return dashboard(environ, start)

    return answer


def _refusal(start: StartResponse) -> Iterable[bytes]:
    start("403 Forbidden", [("Content-Type", "application/json")])
    return [json.dumps({"reason": "sweep show only reads: the study is not changed here"}).encode()]


def _report(store: Store, start: StartResponse) -> Iterable[bytes]:
    path = store.root / "report.html"
    found = path.read_bytes() if path.exists() else _NO_REPORT.format(run_dir=escape(str(store.root))).encode()
    start("200 OK", [
        ("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", _POLICY), ("Cache-Control", "no-store"),
    ])  # fmt: skip
    return [found]


def _note(trial_id: int | None, text: str) -> dict[str, Any]:
    """Return the attributes by which the dashboard shows a note."""
    return {notes.note_ver_key(trial_id): 1, **notes.split_body(text, trial_id)}
