"""The comparison's own run on the dashboard, where the runs that it compares are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sweep.analysis.comparison.comparison import Comparison
from sweep.config.schema import Config, TrackerConfig
from sweep.records.store import Store
from sweep.report.comparison.summary import rows, summary
from sweep.track.open import tracked
from sweep.track.tracker import Ending

_SHARED = {"project", "entity", "tags", "finish_timeout", "max_wait"}  # keys that `wandb` and `mock` both have


def publish(comparison: Comparison, folder: Path, files: Sequence[Path], *, tracker: str | None) -> None:
    """Log a run of job type `compare` in the first run's project, with the files and a table of
    the methods.

    `tracker` takes the place of the first run's own. Raises UserError where the tracker's
    settings are at fault; a server that does not answer costs nothing but the run, which is then
    kept offline.
    """
    config = _config(comparison, folder.resolve().name, tracker)
    pictures = sorted((folder / "figures").glob("compare-*.svg"))
    about = Ending("completed", summary=summary(comparison), files=(*files, *pictures),
                   tables={"methods": rows(comparison)})  # fmt: skip
    with tracked(config, Store(folder), at_end=print) as opened:
        run = opened.open_comparison(folder.resolve().name, {one.name: one.config for one in comparison.methods})
        run.finish(about)


def _config(comparison: Comparison, name: str, tracker: str | None) -> Config:
    """Return the tracker config of the first run, with a group for the comparison."""
    first = comparison.methods[0].lock.config
    settings = first.tracker
    if tracker is not None and (tracker != settings.name or settings.also):
        # Another kind of tracker does not take over a mode that was set for the first run's own.
        settings = TrackerConfig.model_validate(
            settings.model_dump(include=_SHARED) | {"name": tracker, "mode": "auto"}
        )  # fmt: skip
    study = first.study.model_copy(update={"study_name": name})
    return first.model_copy(update={"tracker": settings, "study": study})
