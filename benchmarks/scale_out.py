"""Many workers on one coordinator, with trials that sleep; and real trials on two workers.

    python -m benchmarks.scale_out [--workers 1 2 4 8 16 32] [--trials 32] [--rounds 3] [--small]

Simulated: `launcher=local` with so many workers of 16 slots each. The workers are Ray actors as
ever; their engine (`benchmarks.simulated`) takes a step of a second with all its trials, logs each
tenth and evaluates each twentieth. Coordinator, Optuna in SQLite and records are the real ones;
there is no tracker. A search begins when all workers are there, and gives each `--trials` trials.
Measured are the processor time of the coordinator over the time of the search, the time from an
evaluation to its verdict as the worker sees it, and the steps a second over workers × those of one
worker. With the pruner `racing` trials differ in length, so that a second row of the largest
number of workers has only its verdicts.

Real: the quickstart's LoRA trials on MiniLM, by two workers of one thread each, and by one process
of two threads, in turn. The seconds are those from the first trial's start to the last one's end.

Each worker takes about 0.4 GiB, and seconds to start. On a machine with few cores the workers take
processor time from the coordinator.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import process
from benchmarks.simulated import ROUND, SLOTS, WAITED, make_engine
from benchmarks.table import Row, publish
from sweep.records.store import Store

CORE, VERDICT, LATE, SHARE = 0.5, 0.020, 0.100, 0.95  # promised at 32 workers
SMALL = ("dataset.max_train_samples=64", "dataset.max_eval_samples=32", "trainer.num_train_epochs=1")
SIDES = {
    "two workers of one thread": ("launcher=local", "launcher.workers=2"),
    "one process of two threads": ("launcher=inline",),
}


def main() -> None:
    given = _arguments()
    if given.part:
        _simulate(given.part, given.trials, given.pruner, Path(given.folder))
        return
    many = [_measured(workers, given.trials, "none") for workers in given.workers]
    racing = _measured(max(given.workers), given.trials, "racing")
    rows = [row for found in many for row in _rows(found, one=many[0])]
    rows += _verdicts(racing, f"{racing['workers']} workers, racing")
    if given.rounds:
        rows += _real(given.rounds, small=given.small)
    publish("scale_out", rows, {"trials per worker": str(given.trials), "slots per worker": str(SLOTS)})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_out")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--trials", type=int, default=2 * SLOTS, help="of each worker")
    parser.add_argument("--rounds", type=int, default=3, help="of real trials; 0 leaves them out")
    parser.add_argument("--small", action="store_true", help="real trials of a few seconds")
    parser.add_argument("--part", type=int, default=0, help=argparse.SUPPRESS)  # workers of a process of its own
    parser.add_argument("--pruner", default="none", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measured(workers: int, trials: int, pruner: str) -> dict[str, Any]:
    """Return the measurements of a search in a process of its own."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        options = ("--part", str(workers), "--trials", str(trials), "--pruner", pruner, "--folder", name)
        process.run("benchmarks.scale_out", options, folder)
        found: dict[str, Any] = json.loads((folder / "measured.json").read_text())
    return found


def _simulate(workers: int, trials: int, pruner: str, folder: Path) -> None:
    """Search with so many workers, and write what was measured to the folder."""
    from sweep.launch.start import launched
    from sweep.plan.plan import make_plan
    from sweep.study.search import search
    from sweep.study.session import opened

    plan = make_plan([
        "+experiment=quickstart", f"run_dir={folder / 'run'}", "tracker=none", f"study.n_trials={workers * trials}",
        "study.sampler=random", f"study.pruner={pruner}", f"engine.slots={SLOTS}", "launcher=local",
        f"launcher.workers={workers}", "launcher.wait=600", "trainer.device=cpu", "trainer.save_best=false",
    ])  # fmt: skip
    with launched(plan, make_engine=make_engine) as launcher, opened(plan, launcher) as session:
        team: Any = launcher.team  # type: ignore[attr-defined]
        while len(team.members) < workers:
            team.events(1.0)
        began, used = time.perf_counter(), time.process_time()
        records = search(session)
        seconds, processor = time.perf_counter() - began, time.process_time() - used
    waited = [one.metrics[WAITED] for record in records for one in record.outcome.evals if WAITED in one.metrics]
    steps = sum(record.outcome.cost.steps for record in records)
    found = {
        "workers": workers,
        "trials": trials,
        "seconds": seconds,
        "processor": processor,
        "steps": steps,
        "waited": waited,
    }
    (folder / "measured.json").write_text(json.dumps(found))


def _rows(found: dict[str, Any], *, one: dict[str, Any]) -> list[Row]:
    """Return the rows of one number of workers; `one` are the measurements of the first number."""
    workers, promised = found["workers"], found["workers"] == 32
    each, first = (side["steps"] / side["seconds"] / side["workers"] for side in (found, one))
    name = f"{workers} worker{'s' if workers > 1 else ''}"
    return [
        Row(
            f"{name}: cores of the coordinator", [found["processor"] / found["seconds"]], CORE if promised else None, ""
        ),
        *_verdicts(found, name),
        Row(f"{name}: throughput, of workers × one", [each / first], SHARE if promised else None, ""),
        Row(f"{name}: throughput, of no waiting at all", [each * ROUND / min(found["trials"], SLOTS)], None, ""),
    ]


def _verdicts(found: dict[str, Any], name: str) -> list[Row]:
    waited, promised = found["waited"], found["workers"] == 32
    late = quantiles(waited, n=100)[98]
    return [
        Row(f"{name}: evaluation to verdict", waited, VERDICT if promised else None),
        Row(f"{name}: evaluation to verdict, 99th percentile", [late], LATE if promised else None),
    ]


def _real(rounds: int, *, small: bool) -> list[Row]:
    """Return the seconds of a search of real trials, on each side."""
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(rounds):
        for name, options in SIDES.items():
            with TemporaryDirectory() as folder:
                seconds[name].append(_searched(Path(folder), (*options, *(SMALL if small else ()))))
    return [Row(f"8 LoRA trials, {name}", found) for name, found in seconds.items()]


def _searched(folder: Path, options: Sequence[str]) -> float:
    arguments = (
        "+experiment=quickstart", f"run_dir={folder / 'run'}", "tracker=none", "study.n_trials=8", "study.sampler=random",
        "study.pruner=none", *options,
    )  # fmt: skip
    process.run("sweep", arguments, folder, environment={"OMP_NUM_THREADS": "2"})
    records = Store(folder / "run").trials()
    started = min(datetime.fromisoformat(record.started) for record in records)
    return (max(datetime.fromisoformat(record.finished) for record in records) - started).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
