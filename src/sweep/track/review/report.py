"""The W&B report of a study: its conclusions beside live panels."""

from __future__ import annotations

from collections.abc import Sequence

import wandb_workspaces.reports.v2 as wr

from sweep.track.review.content import Review
from sweep.track.review.panels import sections
from sweep.track.review.workspace import of_study

_LONGEST_TITLE = 128


def report(review: Review, entity: str) -> wr.Report:
    """Return the report, which takes the place of the one that `review.ids` names."""
    runs = wr.Runset(
        entity=entity,
        project=review.project,
        name=f"Study {review.study}",
        filters=of_study(review.study),
        order=[wr.OrderBy(wr.SummaryMetric(review.score), ascending=not review.maximize)],
    )
    blocks: list[wr.interface.BlockTypes] = [wr.MarkdownBlock(review.conclusions)]
    for title, panels in sections(review).items():
        if panels:
            blocks += [wr.H2(title), wr.PanelGrid(runsets=[runs], panels=_placed(panels))]
    made = wr.Report(
        entity=entity,
        project=review.project,
        title=f"Study {review.study}"[:_LONGEST_TITLE],
        description="Written by sweep review, which writes it again.",
        blocks=blocks,
        width="fluid",
    )
    made.id = review.ids.get("report", "")
    return made


def _placed(panels: Sequence[wr.interface.PanelTypes]) -> list[wr.interface.PanelTypes]:
    """Return the panels side by side, three in a row of 24 columns."""
    placed = list(panels)
    for index, panel in enumerate(placed):
        panel.layout = wr.Layout(x=index % 3 * 8, y=index // 3 * 6, w=8, h=6)  # type: ignore[union-attr]
    return placed
