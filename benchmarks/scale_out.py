"""Many workers on one coordinator, with trials that sleep; and real trials on two workers.

    python -m benchmarks.scale_out [--workers 1 8 32] [--trials-per-slot 2] [--racing 139 600]
        [--racing-workers 32] [--racing-trials-per-slot 1] [--storage ADDRESS] [--no-snapshots]
        [--rounds 3] [--small] [--name NAME]

Simulated: `launcher=local` with so many workers of 16 slots each. The workers are Ray actors as
ever; their engine (`benchmarks.simulated`) takes a step of a second with all its trials. A trial
has 4 to 8 epochs of ten steps, logs each tenth step and evaluates each twentieth, and sends a
snapshot of 1.1 MB after each evaluation but the last. Coordinator, Optuna's storage and records
are the real ones; there is no tracker. A search begins when all workers are there, and gives each
of their slots `--trials-per-slot` trials. Measured are the processor time of the coordinator over
the time of the search, the time from an evaluation to its verdict as the worker sees it, and the
steps a second over workers × those of the first number of workers. Steps a second are counted
from the first trial's start to the last one's: after it slots are empty because no trial is left.

With the pruner `racing` trials also end by its verdicts, so that its searches have no throughput.
`--racing` gives the numbers of validation rows that scores are of: from 500 on racing pauses trials and
promotes them, below it stops them for good.

`--storage` is the address of a database in place of SQLite in the run directory.

Real (`--rounds`): the quickstart's LoRA trials on MiniLM, by two workers of one thread each, and by
one process of two threads, in turn: the seconds of the whole command with retraining and test, and
those from the first trial's start to the last one's end.

`--small` takes a tenth of the steps' time, two workers and small real trials: it shows that all
parts run. Each worker takes about 0.4 GiB, and seconds to start. On a machine with few cores the
workers take processor time from the coordinator.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from benchmarks import process
from benchmarks.simulated import ROUND, SLOTS, engine_maker, verdict_seconds
from benchmarks.table import Row, publish
from sweep.records.store import Store
from sweep.records.trial import TrialRecord

CORE, VERDICT, LATE, SHARE = 0.5, 0.020, 0.100, 0.95  # promised
PROMISED_AT = 32  # workers
TRAINED, BATCH, EPOCHS = 160, 16, (4, 8)  # of simulated trials: 10 steps an epoch, 60 steps on average
STEPS = TRAINED // BATCH * sum(EPOCHS) / 2
SPACE = f"""optimizer.learning_rate: {{low: 1.0e-3, high: 1.0e-2, log: true}}
optimizer.warmup_steps: {{low: 0.0, high: 0.3}}
trainer.num_train_epochs: {{low: {EPOCHS[0]}, high: {EPOCHS[1]}}}
"""
SMALL = ("dataset.max_train_samples=64", "dataset.max_eval_samples=32", "trainer.num_train_epochs=1")
SIDES = {
    "two workers of one thread": ("launcher=local", "launcher.workers=2"),
    "one process of two threads": ("launcher=inline",),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A search with simulated trials. `rows` are the validation rows of a search with the pruner
    racing; 0 is one without a pruner. A step takes `seconds`."""

    workers: int
    per_slot: int
    rows: int = 0
    storage: str = ""
    saves: bool = True
    seconds: float = ROUND

    @property
    def name(self) -> str:
        racing = f", racing on {self.rows} rows" if self.rows else ""
        return f"{self.workers} worker{'s' if self.workers > 1 else ''}{racing}"

    @property
    def promised(self) -> bool:
        return self.workers == PROMISED_AT and self.seconds == ROUND

    def overrides(self, folder: Path) -> list[str]:
        """Return the command line of the study, whose files are in `folder`."""
        storage = [f"study.storage={self.storage}", f"study.study_name=scale-{uuid4().hex}"] if self.storage else []
        return [
            "+experiment=quickstart", *task(folder, self.rows or TRAINED), f"run_dir={folder / 'run'}", "tracker=none",
            f"study.n_trials={self.workers * SLOTS * self.per_slot}", "study.sampler=random",
            f"study.pruner={'racing' if self.rows else 'none'}", *storage, f"engine.slots={SLOTS}", "launcher=local",
            f"launcher.workers={self.workers}", "launcher.wait=600", "trainer.device=cpu", "trainer.save_best=false",
        ]  # fmt: skip


def task(folder: Path, validation: int) -> list[str]:
    """Return the part of a command line with the data, of so many validation rows, and the search
    space. Their files are in `folder`."""
    (folder / "space.yaml").write_text(SPACE)
    _write_rows(folder / "data", validation)
    return [
        "dataset=custom", f"dataset.path={folder / 'data'}", "dataset.validation_split=validation",
        f"study.space={folder / 'space.yaml'}", f"trainer.per_device_train_batch_size={BATCH}",
    ]  # fmt: skip


def _write_rows(folder: Path, validation: int) -> None:
    """Write texts of two labels."""
    folder.mkdir()
    for name, count in (("train", TRAINED), ("validation", validation), ("test", TRAINED)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            writer.writerows((f"request {number} of {name}", ("old", "new")[number % 2]) for number in range(count))


def main() -> None:
    given = _arguments()
    if given.folder:
        folder = Path(given.folder)
        _simulate(Case(**json.loads((folder / "case.json").read_text())), folder)
        return
    step = ROUND / 10 if given.small else ROUND
    notes: dict[str, float | str] = {
        "trials per slot": f"{given.trials_per_slot}; racing {given.racing_trials_per_slot}",
        "slots per worker": str(SLOTS),
        "seconds of a trial, on average": STEPS * step,
        "snapshots": "after each evaluation but the last" if given.snapshots else "of paused trials alone",
        "storage": given.storage.partition(":")[0] or "sqlite",
    }
    rows: list[Row] = []
    for measured in _parts(given, step):
        rows += measured
        publish(given.name, rows, notes)  # what is measured is kept where the rest is cut off


def _parts(given: argparse.Namespace, step: float) -> Iterator[list[Row]]:
    """Return the rows of each part, when it is measured."""
    common: dict[str, Any] = {"storage": given.storage, "saves": given.snapshots, "seconds": step}
    first: dict[str, Any] | None = None
    for workers in given.workers:
        case = Case(workers, given.trials_per_slot, **common)
        found = _measured(case)
        first = first or found
        yield _rows(case, found, one=first)
    for validation in given.racing:
        case = Case(given.racing_workers, given.racing_trials_per_slot, validation, **common)
        yield _racing(case, _measured(case))
    if given.rounds:
        yield _real(given.rounds, small=given.small)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_out")
    parser.add_argument("--workers", type=int, nargs="*", help="1 2 4 8 16 32 unless given")
    parser.add_argument("--trials-per-slot", type=int, default=2)
    parser.add_argument("--racing", type=int, nargs="*", metavar="ROWS", help="of validation; 139 600 unless given")
    parser.add_argument("--racing-workers", type=int, help="the largest of --workers unless given")
    parser.add_argument("--racing-trials-per-slot", type=int, default=1)
    parser.add_argument("--storage", default="", metavar="ADDRESS", help="as study.storage; SQLite unless given")
    parser.add_argument("--no-snapshots", dest="snapshots", action="store_false")
    parser.add_argument("--rounds", type=int, default=3, help="of real trials; 0 leaves them out")
    parser.add_argument("--small", action="store_true", help="a short run of all parts")
    parser.add_argument("--name", default="scale_out", help="of the file of results")
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)  # of a case, in a process of its own
    given = parser.parse_args()
    if given.workers is None:
        given.workers = [1, 2] if given.small else [1, 2, 4, 8, 16, 32]
    if given.racing is None:
        given.racing = [139, 600]
    if given.racing_workers is None:
        given.racing_workers = max(given.workers, default=PROMISED_AT)
    return given


def _measured(case: Case) -> dict[str, Any]:
    """Return the measurements of a search in a process of its own. The address of a storage, which
    may have a password, is in no argument of it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "case.json").write_text(json.dumps(asdict(case)))
        process.run("benchmarks.scale_out", ("--folder", name), folder)
        found: dict[str, Any] = json.loads((folder / "measured.json").read_text())
    return found


def _simulate(case: Case, folder: Path) -> None:
    """Run the search of a case, and write what was measured to the folder."""
    from sweep.launch.start import launched
    from sweep.plan.plan import make_plan
    from sweep.study.search import search
    from sweep.study.session import opened

    plan = make_plan(case.overrides(folder))
    verdicts = folder / "verdicts"
    verdicts.mkdir()
    make_engine = engine_maker(verdicts, saves=case.saves, seconds=case.seconds)
    with launched(plan, make_engine=make_engine) as launcher, opened(plan, launcher) as session:
        team: Any = launcher.team  # type: ignore[attr-defined]
        while len(team.members) < case.workers:
            team.events(1.0)
        began, used = time.perf_counter(), time.process_time()
        records = search(session)
        seconds, processor = time.perf_counter() - began, time.process_time() - used
    starts = sorted(datetime.fromisoformat(record.started) for record in records)
    filled = (starts[-1] - starts[0]).total_seconds()
    found = {
        "workers": case.workers,
        "seconds": seconds,
        "processor": processor,
        "rate": sum(_steps_until(starts[-1], record) for record in records) / filled,
        "waited": verdict_seconds(verdicts),
        "filling": (starts[case.workers * SLOTS - 1] - starts[0]).total_seconds(),
        "pauses": sum(record.pauses for record in records),
        "promotions": sum(record.promotions for record in records),
    }
    (folder / "measured.json").write_text(json.dumps(found))


def _steps_until(end: datetime, record: TrialRecord) -> float:
    """Return the steps that a trial had taken at the time `end`, had each taken as long."""
    started, finished = datetime.fromisoformat(record.started), datetime.fromisoformat(record.finished)
    return record.outcome.cost.steps * min(1.0, (end - started) / (finished - started))


def _rows(case: Case, found: dict[str, Any], *, one: dict[str, Any]) -> list[Row]:
    """Return the rows of one number of workers; `one` are the measurements of the first number."""
    each, first = (side["rate"] / side["workers"] for side in (found, one))
    limit = SHARE if case.promised and found is not one else None
    return [
        *_busy(case, found),
        Row(f"{case.name}: until all slots are filled", [found["filling"]]),
        Row(f"{case.name}: throughput, of workers × {one['workers']}", [each / first], limit, ""),
        Row(f"{case.name}: throughput, of no waiting at all", [each * case.seconds / SLOTS], None, ""),
    ]


def _racing(case: Case, found: dict[str, Any]) -> list[Row]:
    counts = [Row(f"{case.name}: {name}", [found[name]], None, "") for name in ("pauses", "promotions")]
    return [*_busy(case, found), *counts]


def _busy(case: Case, found: dict[str, Any]) -> list[Row]:
    """Return the rows of what the promises on the coordinator are about."""
    waited, promised = found["waited"], case.promised
    late, cores = quantiles(waited, n=100)[98], found["processor"] / found["seconds"]
    return [
        Row(f"{case.name}: cores of the coordinator", [cores], CORE if promised else None, ""),
        Row(f"{case.name}: evaluation to verdict", waited, VERDICT if promised else None),
        Row(f"{case.name}: evaluation to verdict, 99th percentile", [late], LATE if promised else None),
    ]


def _real(rounds: int, *, small: bool) -> list[Row]:
    """Return the seconds of whole commands with real trials and of their searches, on each side."""
    commands: dict[str, list[float]] = {name: [] for name in SIDES}
    searches: dict[str, list[float]] = {name: [] for name in SIDES}
    for turn in range(rounds):
        for name in sorted(SIDES, reverse=bool(turn % 2)):  # neither side is always the first
            with TemporaryDirectory() as folder:
                command, search = _searched(Path(folder), (*SIDES[name], *(SMALL if small else ())))
            commands[name].append(command)
            searches[name].append(search)
            print(f"{name}: {search:.1f} s, the whole command {command:.1f} s", flush=True)
    return [
        *(Row(f"8 LoRA trials, {name}: search alone", found) for name, found in searches.items()),
        *(Row(f"8 LoRA trials, {name}: whole command", found) for name, found in commands.items()),
    ]


def _searched(folder: Path, options: Sequence[str]) -> tuple[float, float]:
    """Return the seconds of a whole command, and those from the first trial's start to the last
    one's end."""
    arguments = (
        "+experiment=quickstart", f"run_dir={folder / 'run'}", "tracker=none", "study.n_trials=8", "study.sampler=random",
        "study.pruner=none", *options,
    )  # fmt: skip
    threads = {"OMP_NUM_THREADS": "1" if "launcher=local" in options else "2"}
    spent = process.run("sweep", arguments, folder, environment=threads)
    records = Store(folder / "run").trials()
    started = min(datetime.fromisoformat(record.started) for record in records)
    return spent.wall, (max(datetime.fromisoformat(record.finished) for record in records) - started).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
