"""`sweep best RUN_DIR`: the winner's values, scores and folder, from the run directory alone."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from sweep.analysis.plain import plain
from sweep.cli.run_dir import add_winner, winner_of
from sweep.config.quoting import quoted
from sweep.errors import reported
from sweep.records.winner import Winner
from sweep.report.units import objective

_PROGRAM = ("python", "-m", "sweep")  # which every recorded command begins with


def main(argv: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(argv)
    with reported():
        winner = winner_of(asked)
        if asked.overrides:
            print(shlex.join(overrides(winner)))
        elif asked.json:
            print(json.dumps(plain(values(winner)), indent=2, ensure_ascii=False, allow_nan=False))
        else:
            print("\n".join(_lines(winner)))


def overrides(winner: Winner) -> list[str]:
    """Return the arguments of `python -m sweep` that train the winner again, as a study of one
    trial with a run directory of its own."""
    return shlex.split(winner.record.command)[len(_PROGRAM) :]


def values(winner: Winner) -> dict[str, Any]:
    """Return the winner as plain values.

    `scores` are named as in the records. With a refit, `eval/…` are the scores of the same values
    trained on the train rows alone.
    """
    record = winner.record
    return {
        "study": winner.lock.config.study.study_name,
        "trial": record.number,
        "params": dict(record.params),
        "scores": _scores(winner),
        "objective": winner.lock.config.study.metric,
        "second_objective": _second(winner),
        "labels": list(record.label_names),
        "thresholds": None if record.thresholds is None else list(record.thresholds),
        "temperature": None if record.calibration is None else record.calibration.temperature,
        "refit": record.refit is not None,
        "run_dir": str(winner.store.root.absolute()),
        "model": str(winner.model.absolute()),
        "overrides": overrides(winner),
    }


def _second(winner: Winner) -> dict[str, Any] | None:
    """Return the name of a second objective and its value for the trial that won; None for one
    objective."""
    second = winner.lock.config.study.second
    if second is None:
        return None
    trial = next((one for one in winner.store.trials() if one.number == winner.record.number), None)
    return {"metric": second.metric, "value": None if trial is None else trial.value(second)}


def _scores(winner: Winner) -> dict[str, float]:
    """Return the scores of validation, at tuned thresholds where there are some, and of test."""
    record = winner.record
    return {**record.validation, **record.tuned, **record.test}


def _lines(winner: Winner) -> Iterator[str]:
    record = winner.record
    yield f"Winner    trial {record.number} of {winner.store.root}"
    for key, value in record.params.items():
        yield f"          {key}={quoted(value)}"
    for index, (name, value) in enumerate(_scores(winner).items()):
        yield f"{'' if index else 'Scores':<10}{name:<24} {value:.4f}"
    if (second := _second(winner)) and second["value"] is not None and second["metric"] not in _scores(winner):
        yield f"{'':<10}{second['metric']:<24} {objective(second['value'])} (of the trial)"
    if folds := record.config.dataset.folds:
        yield f"          (eval/… are means over {folds} folds; the model was trained on all train rows)"
    elif record.refit is not None:
        yield "          (eval/… of the same values trained on the train rows alone; the model was refitted on both)"
    yield f"Model     {winner.model}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep best", description="Print the winner's values, scores and folder. Nothing is trained."
    )
    add_winner(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print them as JSON")
    form.add_argument(
        "--overrides", action="store_true", help="print what to type after `python -m sweep` to train the winner again"
    )
    return parser
