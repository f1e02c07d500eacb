"""The columns of the table of runs: state, score and searched values.

W&B has no words for these. The names that are looked for are those of `sweep`; a run without them
is shown with what W&B knows of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wandb_mock.records import Run

# Config values that are shown where no run says which values were searched.
_MOST_COLUMNS = 12


def state(run: Run) -> str:
    """Return `state` of the run's summary (completed, pruned, …), else the state that W&B gives
    it (finished, failed, …)."""
    recorded = run.summary.get("state")
    return recorded if isinstance(recorded, str) and run.ended else run.state


def objective(run: Run) -> str:
    """Return the metric that is searched by, `study.metric` of the run's config; empty where
    there is none."""
    study = run.config.get("study")
    metric = study.get("metric") if isinstance(study, Mapping) else None
    return metric if isinstance(metric, str) else ""


def score(run: Run) -> float | None:
    """Return the run's score: `optuna/value` of its summary, else `score`, else its best value of
    the objective, `best/METRIC`. None where the summary has none of them."""
    found = (run.summary.get(name) for name in ("optuna/value", "score", f"best/{objective(run)}"))
    return next((one for one in found if isinstance(one, int | float) and not isinstance(one, bool)), None)


@dataclass(frozen=True, slots=True)
class Searched:
    """Searched values: their dotted names, and the values of each run in the same order, None
    where a run has none."""

    names: Sequence[str]
    values: Sequence[Sequence[Any]]


def searched(runs: Sequence[Run]) -> Searched:
    """Return the searched values of `runs`: the entries of `params` in their configs.

    Where no run has `params`: the config values that are not the same in all runs, at most twelve.
    """
    flat = [_params(run) for run in runs]
    names = list(dict.fromkeys(name for values in flat for name in values))
    if not names:
        flat = [dict(_leaves(run.config)) for run in runs]
        every = dict.fromkeys(name for values in flat for name in values)
        names = [name for name in every if len({repr(values.get(name)) for values in flat}) > 1][:_MOST_COLUMNS]
    return Searched(names, [[values.get(name) for name in names] for values in flat])


def short_names(names: Sequence[str]) -> list[str]:
    """Return the last part of each dotted name, or the whole name where two names have the same
    last part."""
    last = [name.rpartition(".")[2] for name in names]
    return [short if last.count(short) == 1 else name for name, short in zip(names, last, strict=True)]


def _params(run: Run) -> Mapping[str, Any]:
    params = run.config.get("params")
    return params if isinstance(params, Mapping) else {}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
