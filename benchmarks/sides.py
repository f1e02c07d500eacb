"""The two sides of a comparison: the same trials searched by the project and by
`Trainer.hyperparameter_search`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks.process import Spent, run

Point = Mapping[str, bool | int | float | str]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a side. `rows` counts training rows, `eval_rows` rows evaluated; `accuracy` is
    of the last evaluation; `inside` are the seconds of training and evaluation."""

    rows: int
    eval_rows: int
    accuracy: float
    seconds: float
    inside: float


@dataclass(frozen=True, slots=True)
class Event:
    """An event at `time`, in seconds: a step, an evaluation (`eval`) or a trial (`end`) that
    ended, a trial that was asked for (`next`; -1 if there was none), or a `snapshot` that was
    handed over. `rows` are those of a step's batches, or the bytes of a snapshot; the study then
    `took` so many seconds, where that is known."""

    kind: str
    trial: int
    time: float
    rows: int = 0
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class Side:
    """The measurements of one side. `seconds` are of the search alone, `process` and `cpu` of the
    whole process; `memory` has, after each trial, the bytes of the process, of its children and of
    the GPU."""

    seconds: float
    process: float
    cpu: float
    trials: tuple[Trial, ...]
    timeline: tuple[Event, ...]
    engine: str
    device: str
    threads: int
    peak_device_bytes: int
    memory: tuple[tuple[int, int, int], ...] = ()

    @property
    def accuracy(self) -> float:
        return fmean(trial.accuracy for trial in self.trials)

    @property
    def start_up(self) -> float:
        """Seconds of the process that are not the search's."""
        return self.process - self.seconds


def project(
    points: Sequence[Point],
    overrides: Sequence[str],
    *,
    engine: str,
    slots: int | str = "auto",
    limit: float = 3600,
    weigh: bool = False,
) -> Side:
    """Search the points, in their order, as the enqueued trials of `python -m sweep`, without
    pruning. `weigh` measures memory. The Trainer always has one slot."""
    with tempfile.TemporaryDirectory(prefix="sweep-benchmark-") as name:
        folder = Path(name)
        (folder / "space.yaml").write_text(json.dumps(space(points)))
        places = [] if engine == "trainer" else [f"engine.slots={slots}"]
        asked = [
            *overrides, f"engine={engine}", *places, f"run_dir={folder / 'run'}",
            f"study.space={folder / 'space.yaml'}", f"study.n_trials={len(points)}", f"study.enqueue={enqueued(points)}",
            "study.pruner=none", "study.sampler=random", "trainer.eval_strategy=epoch", "tracker=wandb", "tracker.mode=offline",
        ]  # fmt: skip
        arguments = [str(folder / "out.json"), *(["--weigh"] if weigh else []), *asked]
        spent = run("benchmarks.sweep_search", arguments, folder, limit=limit)
        found = json.loads((folder / "out.json").read_text())
    taken = [trial.pop("params") for trial in found["trials"]]
    if taken != [dict(point) for point in points]:
        raise SystemExit(f"asked for the trials {points}, but these were trained: {taken}")
    _check_engine(engine, found["engine"])
    return _side(found, spent)


def baseline(
    points: Sequence[Point], overrides: Sequence[str], *, variant: str = "dynamic", limit: float = 3600
) -> Side:
    """The points, in their order, by `benchmarks.hyperparameter_search`."""
    with tempfile.TemporaryDirectory(prefix="sweep-benchmark-") as name:
        folder = Path(name)
        asked, answered = folder / "points.json", folder / "out.json"
        asked.write_text(json.dumps(points))
        arguments = [str(asked), str(answered), variant, *overrides]
        spent = run("benchmarks.hyperparameter_search", arguments, folder, limit=limit)
        return _side(json.loads(answered.read_text()), spent)


def space(points: Sequence[Point]) -> dict[str, Any]:
    """A search space that holds the points."""
    values = {key: [point[key] for point in points] for key in points[0]}
    return {key: _domain(found) for key, found in values.items()}


def enqueued(points: Sequence[Point]) -> str:
    """The points as the value of `study.enqueue` on a command line."""
    return (
        "[" + ",".join("{" + ",".join(f"{key}:{value}" for key, value in point.items()) + "}" for point in points) + "]"
    )


def in_proportion(measured: Side, count: int) -> float:
    """Return the seconds of a search of `count` trials in proportion to the fewer measured ones,
    which have the same mix."""
    return measured.seconds * count / len(measured.trials)


def check_same_work(ours: Side, theirs: Side, what: str) -> None:
    """End the benchmark unless both sides trained and evaluated the same number of rows, trial by
    trial, for the trials that the second side has."""
    for number, (mine, other) in enumerate(zip(ours.trials, theirs.trials, strict=False)):
        if (mine.rows, mine.eval_rows) != (other.rows, other.eval_rows):
            raise SystemExit(
                f"trial {number} trained on {mine.rows} rows and evaluated {mine.eval_rows} in the project, but on "
                f"{other.rows} and {other.eval_rows} in {what}: the two do not compare"
            )


def training_speed(timeline: Sequence[Event]) -> float:
    """Return the training rows a second while nothing but training happens, however many trials
    train at once.

    A run of steps lies between two other events (the end of an evaluation or of a trial). The time
    from its first step to the last step of the same trial counts, and so do the rows of all trials
    in between: these are whole rounds. Raises ValueError where no trial makes two steps in a row.
    """
    rows, seconds = 0, 0.0
    for stepping, run_of in groupby(timeline, key=lambda event: event.kind == "step"):
        steps = list(run_of)
        if not stepping:
            continue
        last = max(index for index, event in enumerate(steps) if event.trial == steps[0].trial)
        rows += sum(event.rows for event in steps[1 : last + 1])
        seconds += steps[last].time - steps[0].time
    if not rows or seconds <= 0:
        raise ValueError("no trial makes two steps in a row")
    return rows / seconds


def agreement(ours: Side, theirs: Side) -> dict[str, float | str]:
    """Return the validation accuracies of both sides. Heads and row orders differ between the
    sides, so single trials differ."""
    pairs = [(mine.accuracy, other.accuracy) for mine, other in zip(ours.trials, theirs.trials, strict=False)]
    return {
        "accuracies, sweep": _listed(mine for mine, _ in pairs),
        "accuracies, Trainer": _listed(other for _, other in pairs),
        "mean accuracy, sweep": fmean(mine for mine, _ in pairs),
        "mean accuracy, Trainer": fmean(other for _, other in pairs),
        "largest difference in accuracy": max(abs(mine - other) for mine, other in pairs),
    }


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Return the ratio of the medians of several rounds."""
    return median(theirs) / median(ours)


def _listed(values: Any) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def _domain(values: Sequence[Any]) -> dict[str, Any]:
    if all(isinstance(value, float) for value in values):
        return {"low": min(values), "high": max(values), "log": True}
    return {"choices": sorted(set(values))}


def _check_engine(asked: str, found: str) -> None:
    """Check that the trials were trained by the wanted engine; `auto` takes either, and an engine
    without a name passes."""
    if asked != "auto" and found not in ("", asked):
        raise SystemExit(f"engine={asked} was asked for, but the trials were trained by: {found}")


def _side(found: dict[str, Any], spent: Spent) -> Side:
    return Side(
        seconds=found["seconds"], process=spent.wall, cpu=spent.cpu, trials=tuple(Trial(**trial) for trial in found["trials"]),
        timeline=tuple(Event(*event) for event in found["timeline"]), engine=found["engine"], device=found["device"],
        threads=found["threads"], peak_device_bytes=found["peak_device_bytes"],
        memory=tuple((own, children, device) for own, children, device in found.get("memory", ())),
    )  # fmt: skip


def say(number: int, name: str, side: Side) -> None:
    """Print one line as soon as a side is done."""
    print(f"round {number + 1}: {name}: {len(side.trials)} trials in {side.seconds:.1f} s, "
          f"the process {side.process:.1f} s, mean accuracy {side.accuracy:.3f}", flush=True)  # fmt: skip
