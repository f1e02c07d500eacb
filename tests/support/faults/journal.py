"""A file with a line for each signal of the kill tests, and a line for each series of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
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


@dataclass(frozen=True, slots=True)
class Journal:
    """The lines of one series. Nothing is written unless `FAULTS_LOG` names a file."""

    place: Place

    def write_sent(self, sent: Sent) -> None:
        """Write the line of a signal."""
        self._write(asdict(sent))

    def write_end(self, *, starts: int, seconds: float, faults: Sequence[str]) -> None:
        """Write the line of the series, after its checks."""
        checked = "records, rows, Optuna's storage, final records, weights, files, processes, output"
        if self.place.tracker == "mock":
            checked += ", runs on W&B"
        self._write({"starts": starts, "seconds": round(seconds), "checked": checked, "faults": list(faults)})

    def _write(self, line: Line) -> None:
        if name := os.environ.get(VARIABLE):
            with Path(name).open("a") as file:
                file.write(json.dumps({**asdict(self.place), "commit": _commit(), **line}) + "\n")


@cache
def _commit() -> str:
    """Return the commit of the code that is tested; empty outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


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
