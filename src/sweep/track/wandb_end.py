"""The tables, charts, pages and the model that a W&B run gets at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from wandb.plot import CustomChart

from sweep.config.schema import Config, Scalar
from sweep.track.tracker import Chart, Ending, trial_rows
from sweep.track.wandb_names import model_aliases, model_name, registry_path


def media_of(ending: Ending, config: Config) -> dict[str, Any]:
    """Return what is logged at the end of a run, by name: one call logs all of it."""
    found: dict[str, Any] = {"trials": _table(trial_rows(ending.trials, config.study))} if ending.trials else {}
    found |= {name: _table(rows) for name, rows in ending.tables.items()}
    found |= {chart.name: _chart(chart) for chart in ending.charts}
    return found | ({"report": wandb.Html(ending.page, inject=False)} if ending.page else {})


def log_model(run: wandb.Run, folder: Path, config: Config) -> wandb.Artifact:
    """Log the model in a folder as an artifact of the study, and return the artifact."""
    artifact = wandb.Artifact(model_name(config.study), type="model")
    # Immutable and uncached, so that the client makes no second copy of the weights.
    artifact.add_dir(str(folder), policy="immutable", skip_cache=True)
    run.log_artifact(artifact, aliases=model_aliases(config.study))
    return artifact


def link_model(artifact: wandb.Artifact, config: Config) -> None:
    """Link a model that has arrived to the collection that `tracker.registry` names, if it names
    one."""
    if config.tracker.registry:
        artifact.link(registry_path(config.study, config.tracker.registry), aliases=model_aliases(config.study)[1:])


def _chart(chart: Chart) -> CustomChart:
    """Return one of W&B's own charts. `wandb.plot.confusion_matrix` makes the same of rows, which
    may be very many; the counts are at hand."""
    columns = tuple(chart.rows[0])
    if chart.kind == "bars":
        label, value = columns
        return wandb.plot.bar(_table(chart.rows), label, value, title=chart.title)
    if chart.kind == "lines":
        x, y, name = columns
        return wandb.plot.line(_table(chart.rows), x, y, stroke=name, title=chart.title)
    if chart.kind == "points":
        x, y = columns
        return wandb.plot.scatter(_table(chart.rows), x, y, title=chart.title)
    names = ("Actual", "Predicted", "nPredictions")
    table = wandb.Table(columns=list(names), data=[list(row.values()) for row in chart.rows])
    fields = {name: name for name in names}
    return wandb.plot_table("wandb/confusion_matrix/v1", table, fields, {"title": chart.title})


def _table(rows: Sequence[Mapping[str, Scalar]]) -> wandb.Table:
    columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
    data: list[Iterable[Any]] = [[row.get(str(column)) for column in columns] for row in rows]
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)
