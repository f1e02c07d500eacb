"""A file with a line for each signal of the kill tests, and a line for each series of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from support.faults.stages import Stage

VARIABLE = "FAULTS_LOG"  # names the file; without it nothing is written

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a series runs, and what."""

    seed: int
    study: str
    tracker: str
    launcher: str
    storage: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal that was sent, and what the study did then."""

    at: str
    target: str
    signal: str
    stage: str
    detail: str


def write_series(place: Place, sent: Sequence[Sent], *, starts: int, seconds: float, faults: Sequence[str]) -> None:
    """Append the lines of a series that has ended, if `FAULTS_LOG` names a file."""
    if not (name := os.environ.get(VARIABLE)):
        return
    own = asdict(place)
    checked = "records, rows, Optuna's storage, final records, weights, files, processes, output"
    ending = {
        "starts": starts, "seconds": round(seconds), "faults": list(faults),
        "checked": checked + (", runs on W&B" if place.tracker == "mock" else ""),
    }  # fmt: skip
    with Path(name).open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in (*({**own, **asdict(one)} for one in sent), own | ending))


def lines(path: Path) -> list[Line]:
    """Return all lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(found: Iterable[Line]) -> str:
    """Return the number of kills by target and stage, with a column for each launcher and storage;
    then those of the series, of other signals, and of what did not hold."""
    found = list(found)
    kills = [line for line in found if line.get("signal") == "SIGKILL"]
    columns = sorted({_column(line) for line in kills})
    counted = Counter((line["target"], line["stage"], _column(line)) for line in kills)
    rows = sorted({key[:2] for key in counted}, key=lambda row: (row[0], list(Stage).index(Stage(row[1]))))
    width = max((len(column) for column in columns), default=0)
    text = [f"{'':26}" + "".join(f"  {column:>{width}}" for column in (*columns, "all"))]
    for target, stage in rows:
        numbers = [counted[target, stage, column] for column in columns]
        text.append(
            f"{target:12} {stage:13}" + "".join(f"  {number or '':>{width}}" for number in (*numbers, sum(numbers)))
        )
    sums = [sum(count for key, count in counted.items() if key[2] == column) for column in columns]
    text.append(f"{'SIGKILL':26}" + "".join(f"  {number:>{width}}" for number in (*sums, len(kills))))
    series = [line for line in found if "starts" in line]
    others = sum("signal" in line for line in found) - len(kills)
    broken = sum(bool(line["faults"]) for line in series)
    starts = sum(line["starts"] for line in series)
    text.append(
        f"{len(series)} series with {starts} starts, {others} other signals; in {broken} series something did not hold"
    )
    return "\n".join(text)


def _column(line: Line) -> str:
    return f"{line['launcher']}, {line['storage']}"
