"""Writes the view, the report and what a synced study lacks, with the account of the
environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import wandb

from sweep.config.secrets import scrub
from sweep.errors import first_line
from sweep.track.review.content import Review, Written
from sweep.track.review.report import report
from sweep.track.review.workspace import ids_of, workspace
from sweep.track.tracker import JobType
from sweep.track.wandb_sweep import KIND, make_sweep

T = TypeVar("T")

# In the error of the client for a project that nothing was sent to.
_NO_PROJECT = "Could not find project"
# The words of a server that does not know an id.
_GONE = re.compile(r"(?i)not found|could not find|no such|does not exist|unknown id|\b404\b")


def write(review: Review) -> Written:
    """Write everything that the server takes, and return what there is now."""
    place = {"project": review.project, "entity": review.entity}
    try:
        api = wandb.Api(overrides={name: one for name, one in place.items() if one})
        entity = review.entity or str(api.default_entity)
        home = f"{entity}/{review.project}"
        runs = list(api.runs(home, filters={"group": review.study}))
    except Exception as error:  # of the client: no key, a key that is rejected, no such project
        return Written(fault=_reason(error), never_arrived=_NO_PROJECT in str(error))
    if not runs:
        return Written(fault=f"{home} has no run of the study {review.study}", never_arrived=True)
    writing = _Writing(api, review, entity)
    writing.sweep({run.id: run.sweep_name or "" for run in runs if run.job_type == JobType.TRIAL})
    writing.link()
    writing.view()
    writing.report()
    return writing.written()


class _Writing:
    """Writes one part after the other. A part that the server refuses is noted, and the others go
    on."""

    def __init__(self, api: wandb.Api, review: Review, entity: str) -> None:
        self._api = api
        self._review = review
        self._entity = entity
        self._addresses: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._notes: list[str] = []

    def written(self) -> Written:
        refused = not self._addresses.keys() & {"workspace", "report"}
        fault = f"the server takes neither a view nor a report ({self._notes[-1]})" if refused else ""
        return Written(self._addresses, self._ids, tuple(self._notes), fault)

    def sweep(self, trials: Mapping[str, str]) -> None:
        """Make the sweep of a study that has none, as after `wandb sync`, with all its trials.
        `trials` has the sweep of each run by the run's id, empty for none."""
        if not self._review.sweep or not trials:
            return
        known = next(filter(None, trials.values()), "")

        def made() -> str:
            sweep_id = known or make_sweep(self._api, dict(self._review.sweep), earlier=list(trials))
            self._note({KIND: sweep_id})
            return str(self._api.sweep(f"{self._entity}/{self._review.project}/{sweep_id}").url)  # type: ignore[no-untyped-call]

        self._attempt("sweep", made)

    def link(self) -> None:
        """Link the winner's model to its registry. A link that a run has made stays the same."""
        review = self._review
        if not review.linked_to or not review.model:
            return

        def linked() -> str:
            model = self._api.artifact(f"{self._entity}/{review.project}/{review.model}:best")
            return str(model.link(review.linked_to, aliases=list(review.aliases)).qualified_name)

        self._attempt("registry", linked)

    def view(self) -> None:
        def saved() -> str:
            view = self._again(("view", "view_id"), lambda review: workspace(review, self._entity).save())  # type: ignore[no-untyped-call]
            self._note(ids_of(view))
            return str(view.url)

        self._attempt("workspace", saved)

    def report(self) -> None:
        def saved() -> str:
            made = self._again(("report",), lambda review: report(review, self._entity).save())
            self._note({"report": made.id})
            return str(made.url)

        self._attempt("report", saved)

    def _again(self, kinds: tuple[str, ...], save: Callable[[Review], T]) -> T:
        """Save over the earlier one, whose ids are of `kinds`; where the server has it no more,
        save a new one. Return what was saved."""
        ids = self._review.ids
        try:
            return save(self._review)
        except Exception as error:
            if not ids.keys() & set(kinds) or not _GONE.search(str(error)):
                raise
            return save(replace(self._review, ids={kind: one for kind, one in ids.items() if kind not in kinds}))

    def _note(self, ids: Mapping[str, str]) -> None:
        self._ids |= ids
        if self._review.kept is not None:
            with suppress(OSError):  # the study's process notes them again, and tells why it cannot
                self._review.kept.note(ids)

    def _attempt(self, what: str, action: Callable[[], str]) -> None:
        """Note the address of one part, or why there is none."""
        try:
            self._addresses[what] = action()
        except Exception as error:  # of the client, of wandb_workspaces, or an answer that they cannot read
            self._notes.append(f"no {what}: {_reason(error)}")


def _reason(error: Exception) -> str:
    return scrub(first_line(error))
