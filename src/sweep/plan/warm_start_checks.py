"""The rules of `study.warm_start`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sweep.config.schema import Config
from sweep.errors import Fault, UserError
from sweep.records.store import Store
from sweep.records.trial import Completed
from sweep.records.warm_start import recorded_runs
from sweep.records.winner import read_lock

_KEY = "study.warm_start"
_TOGETHER = ("; put it back from a copy", ", or name a new run_dir")  # advice for the study's own run directory


def check_warm_start(config: Config) -> list[Fault]:
    """Return the faults of `study.warm_start`, once for a study: the other runs are read.

    A run directory that the study has learnt from before is not looked at again: it may be gone.
    """
    return [Fault(path, rule) for path, rule in _faults(config)]


def _faults(config: Config) -> Iterator[tuple[str, str]]:
    study, own = config.study, Path(config.run_dir).absolute()
    if not study.warm_start:
        return
    if study.space is None:
        yield _KEY, "is set, but nothing is searched (study.space is null); leave it out"
    if study.sampler == "grid":
        yield (
            _KEY,
            "is set, but study.sampler is grid, which tries every point as it is; leave it out, or use study.sampler=tpe",
        )
    try:
        known = recorded_runs(own)
    except UserError as error:
        yield from ((fault.path, fault.message) for fault in error.faults)
        return
    seen = set[Path]()
    for index, name in enumerate(study.warm_start):
        path = Path(name).absolute()
        real = path.resolve()
        twice, itself = real in seen, real == own.resolve()
        rule = "is named twice" if twice else "is the run directory of this study itself" if itself else ""
        if not rule and path not in known:
            rule = _unusable(path)
        if rule:
            yield f"{_KEY}[{index}]", f"is {name}, which {rule}"
        seen.add(real)


def _unusable(path: Path) -> str:
    """Return why nothing can be learnt from a run directory; empty where that is possible."""
    store = Store(path)
    try:
        read_lock(store)
        trials = store.trials()
    except UserError as error:
        fault = error.faults[0]
        message = fault.message
        for advice in _TOGETHER:
            message = message.partition(advice)[0]
        where = "" if fault.path == str(path) else f"has {Path(fault.path).name}, which "
        return f"{where}{message}"
    if not any(isinstance(trial.outcome, Completed) for trial in trials):
        return "has no completed trial to learn from"
    return ""
