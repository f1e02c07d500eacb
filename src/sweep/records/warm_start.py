"""The trials and points taken over from other studies (`study.warm_start`), in
`warm_start.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sweep.config.section import Scalar
from sweep.errors import UserError
from sweep.records.disk import write_whole
from sweep.records.migrations import stamped

_NAME = "warm_start.json"


@dataclass(frozen=True, slots=True)
class WarmTrial:
    """A trial of another run, at a point of this study's search space. `score` is None for a
    pruned trial; `scores` holds what was reported, by report step."""

    params: Mapping[str, Scalar]
    score: float | None
    scores: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class WarmRun:
    """The part that was taken from one run directory: `trials` for the sampler, and `points` to
    try first.

    `differs` names the keys in which its experiment is another one, so that its scores do not
    compare with this study's. `left_out` counts ended trials whose points this study cannot
    have; `notes` say why.
    """

    run_dir: str
    run_id: str
    differs: tuple[str, ...] = ()
    trials: tuple[WarmTrial, ...] = ()
    points: tuple[Mapping[str, Scalar], ...] = ()
    left_out: int = 0
    notes: tuple[str, ...] = ()


_RUNS = TypeAdapter(tuple[WarmRun, ...])


def read_warm_start(root: Path) -> tuple[WarmRun, ...]:
    """Return what the study in the run directory `root` learnt from others; empty where that was
    nothing.

    Raises UserError for a damaged file.
    """
    path = root / _NAME
    if not path.exists():
        return ()
    try:
        return _RUNS.validate_python(json.loads(path.read_bytes())["runs"])
    except (ValueError, KeyError, TypeError, ValidationError):
        rule = "cannot be read: it was damaged; delete it, and the runs of study.warm_start are read again"
        raise UserError.of(str(path), rule) from None


def write_warm_start(root: Path, runs: tuple[WarmRun, ...]) -> None:
    """Write or replace the file. Raises OSError."""
    held = {"runs": _RUNS.dump_python(runs, mode="json")}
    write_whole(root / _NAME, json.dumps(stamped(held), indent=2) + "\n")


def recorded_runs(root: Path) -> frozenset[Path]:
    """Return the run directories that the study in `root` has learnt from."""
    return frozenset(Path(run.run_dir) for run in read_warm_start(root))
