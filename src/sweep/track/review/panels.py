"""The panels of a study: by section, the same in the workspace view and in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import wandb_workspaces.reports.v2 as wr

from sweep.track.review.content import Review
from sweep.track.study_progress import DEVICE_HOURS
from sweep.track.tracker import SECONDS, STEP

Panels = Mapping[str, Sequence[wr.interface.PanelTypes]]


def sections(review: Review) -> Panels:
    """Return the panels by the title of their section."""
    return {
        "Best so far": _best_so_far(review),
        "Curves by trial": _curves(review),
        "Searched values": _searched(review),
        "Trials by state": _states(),
        "Cost": _cost(review),
        "System": _system(),
    }


def _best_so_far(review: Review) -> Sequence[wr.interface.PanelTypes]:
    best: Literal["max", "min"] = "max" if review.maximize else "min"
    return [
        _of_study("Best score so far", ["study/best_score"]),
        wr.ScalarChart(title=f"Best {review.metric}", metric=wr.SummaryMetric(review.score), groupby_aggfunc=best),
        wr.ScatterPlot(
            title="Score of each trial, and the best so far",
            x=wr.SummaryMetric("optuna/number"), y=wr.SummaryMetric(review.score),
            running_ymax=review.maximize, running_ymin=not review.maximize,
        ),
        *_two_objectives(review),
    ]  # fmt: skip


def _two_objectives(review: Review) -> Sequence[wr.interface.PanelTypes]:
    if not review.second:
        return []
    x, y = wr.SummaryMetric(review.second_score), wr.SummaryMetric(review.score)
    return [wr.ScatterPlot(title=f"{review.metric} against {review.second}", x=x, y=y)]


def _curves(review: Review) -> Sequence[wr.interface.PanelTypes]:
    names = list(dict.fromkeys((review.metric, "eval/loss", "train/loss")))
    return [wr.LinePlot(title=name, x=STEP, y=[name], max_runs_to_show=100) for name in names]


def _searched(review: Review) -> Sequence[wr.interface.PanelTypes]:
    score = wr.SummaryMetric(review.score)
    columns = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.Config(one.path), display_name=one.key, log=one.log or None)
        for one in review.searched
    ]
    last = wr.ParallelCoordinatesPlotColumn(metric=score, display_name=review.metric)
    each = [
        wr.ScatterPlot(title=f"{review.metric} by {one.key}", x=wr.Config(one.path), y=score, log_x=one.log or None)
        for one in review.searched
    ]
    if not review.searched:
        return []
    return [
        wr.ParallelCoordinatesPlot(title="Values and score of each trial", columns=[*columns, last]),
        wr.ParameterImportancePlot(with_respect_to=review.score),
        *each,
    ]


def _states() -> Sequence[wr.interface.PanelTypes]:
    names = ("running", "completed", "pruned", "failed", "paused", "put_away")
    states: list[wr.interface.MetricType] = [f"study/trials_{name}" for name in names]
    return [
        _of_study("Trials by state", states),
        wr.BarPlot(title="Trials by state, now", metrics=states),
        _of_study("Slots in use", ["study/slots_in_use"]),
    ]


def _cost(review: Review) -> Sequence[wr.interface.PanelTypes]:
    return [
        _of_study("Device-hours", [DEVICE_HOURS]),
        _of_study("Rows and tokens a second", ["study/rows_per_second", "study/tokens_per_second"]),
        wr.ScatterPlot(
            title=f"{review.metric} by seconds",
            x=wr.SummaryMetric("cost/seconds"), y=wr.SummaryMetric(review.score), log_x=True,
        ),
        wr.BarPlot(title="Seconds of each run", metrics=["cost/seconds"]),
    ]  # fmt: skip


def _system() -> Sequence[wr.interface.PanelTypes]:
    """Return the panels of the machine, which the run of the study measures."""
    names = {
        "CPU (%)": ["system/cpu"],
        "Memory (%)": ["system/memory_percent"],
        "GPU (%)": ["system/gpu.0.gpu"],
        "GPU memory (%)": ["system/gpu.0.memoryAllocated"],
    }
    return [wr.LinePlot(title=title, x="RelativeTime(Wall)", y=list(metrics)) for title, metrics in names.items()]


def _of_study(title: str, metrics: Sequence[wr.interface.MetricType]) -> wr.LinePlot:
    return wr.LinePlot(title=title, x=SECONDS, y=list(metrics), title_x="seconds of the study")
