"""The saved workspace view of a study."""

from __future__ import annotations

from collections.abc import Mapping

import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

from sweep.track.review.content import Review
from sweep.track.review.panels import sections

# Lines in one panel: W&B shows ten runs where a view says nothing.
_RUNS_IN_A_PANEL = 100
_COLUMNS_MOST = 8


def workspace(review: Review, entity: str) -> ws.Workspace:
    """Return the view, which takes the place of the one that `review.ids` names."""
    made = ws.Workspace(
        entity=entity,
        project=review.project,
        name=f"Study {review.study}",
        sections=[
            ws.Section(name=title, panels=list(panels), is_open=True)
            for title, panels in sections(review).items()
            if panels
        ],
        settings=ws.WorkspaceSettings(max_runs=_RUNS_IN_A_PANEL),
        runset_settings=ws.RunsetSettings(
            filters=of_study(review.study),
            order=[expr.Ordering(expr.Summary(review.score), ascending=not review.maximize)],
            pinned_columns=_columns(review),
        ),
    )
    made._internal_name = review.ids.get("view", "")
    made._internal_id = review.ids.get("view_id", "")
    return made


def ids_of(saved: ws.Workspace) -> Mapping[str, str]:
    """Return the ids by which the next review finds the view."""
    return {"view": saved._internal_name, "view_id": saved._internal_id}


def of_study(study: str) -> str:
    """Return the filter for the runs of a study, in the language of `wandb_workspaces`: Python."""
    return f"Metric('Group') == {study!r}"


def _columns(review: Review) -> list[str]:
    keys = [_column(one.path) for one in review.searched[:_COLUMNS_MOST]]
    return ["run:displayName", "summary:state", f"summary:{review.score}", *keys]


def _column(path: str) -> str:
    """Return a value of a run's config as the column of the table: W&B has each top-level entry
    under `value`."""
    first, dot, rest = path.partition(".")
    return f"config:{first}.value{dot}{rest}"
