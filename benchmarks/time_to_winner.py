"""Seconds until the retrained winner of a search is as good as that of 16 full trials: this
project, `Trainer.hyperparameter_search`, and Ray Tune.

    python -m benchmarks.time_to_winner [--adapter head] [--data FOLDER] [--trials 16] [--seeds 3]
                                        [--first 0] [--device cuda]

MiniLM with LoRA, or with --adapter head a new head on the frozen base, on the help-desk set
(`+experiment=quickstart`), or with --data (a folder with Banking77's train.csv and test.csv) on the
first 20 intents of Banking77; the five knobs of `sweeps/quickstart.yaml`, over which tables of both
methods are recorded (`benchmarks.five_knob_tables`). Of each seed all sides get the same random
points, rows and evaluations:

- `sweep`: `python -m sweep` at its defaults, whole, with the test and the report after it
- `optuna`: `Trainer.hyperparameter_search` as documented, every trial to its end
- `median`: the same with Optuna's median pruner
- `asha`: Ray Tune's ASHA over the same Trainer, one trial a core, or one a GPU

Seconds are those of the whole process, W&B off. A winner is as good where its score on the
validation rows, retrained, is at most 0.2 points below that of `optuna` with the same seed. Sides
take turns, and begin with another one in each round. Each seed is written when it ends, beside those
that the file of results has, so that --first 1 goes on after seed 0. --small runs every side once
on few rows.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.curves import of_first_intents
from benchmarks.process import run
from benchmarks.random_values import drawn
from benchmarks.sides import enqueued
from benchmarks.table import RESULTS, write
from sweep.config.domains import Choices, Range
from sweep.config.folders import sweeps_dir
from sweep.config.schema import Scalar
from sweep.config.space import Space, load
from sweep.records.store import Store

OURS = "sweep"
SIDES = ("optuna", "median", "asha")  # those of benchmarks.trainer_winner, which imports torch
WITHIN = 0.002 + 1e-9
PROMISED = {"optuna": 15.0, "the best of the others": 8.0}
Point = dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Winner:
    """The winner of one side, retrained: its `score` on validation, and the `rows` that the search
    trained; `good` says that it is as good as that of all trials in full."""

    side: str
    seed: int
    seconds: float
    score: float
    rows: float
    good: bool = False


def random_points(space: Space, count: int, seed: int) -> list[Point]:
    """Return random points of a space without conditions."""
    draw = random.Random(seed)
    return [{one.key: _short(one.domain, draw) for one in space} for _ in range(count)]


def _short(domain: Range | Choices, draw: random.Random) -> Scalar:
    found = drawn(domain, draw)
    return float(f"{found:.4g}") if isinstance(domain, Range) and not domain.whole else found


def compared(found: Sequence[Winner]) -> list[Winner]:
    """Return the winners of one seed, each with its verdict."""
    full = next(one.score for one in found if one.side == "optuna")
    return [replace(one, good=one.score >= full - WITHIN) for one in found]


def ratios(found: Sequence[Winner]) -> Mapping[str, float]:
    """Return how many times longer than `sweep` each side took, by the medians of its seconds.

    A side counts with all its rounds, whether its winners were good or not.
    """
    seconds = {side: median(one.seconds for one in found if one.side == side) for side in (OURS, *SIDES)}
    return {side: seconds[side] / seconds[OURS] for side in SIDES}


def measured(side: str, points: Sequence[Point], experiment: Sequence[str], seed: int, limit: float) -> Winner:
    """Run one side in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="sweep-benchmark-") as name:
        folder = Path(name)
        if side == OURS:
            spent = run("sweep", _ours(points, experiment, folder), folder, limit=limit)
            store = Store(folder / "run")
            final = store.final()
            assert final is not None and final.retrain_best is not None, "a study that has ended has a winner"
            score = final.retrain_best.metrics["eval/accuracy"]
            rows = float(sum(trial.outcome.cost.samples for trial in store.trials()))
        else:
            (folder / "points.json").write_text(json.dumps(points))
            arguments = [str(folder / "points.json"), str(folder / "out.json"), side, *experiment]
            spent = run("benchmarks.trainer_winner", arguments, folder, limit=limit)
            found = json.loads((folder / "out.json").read_text())
            score, rows = found["score"], found["rows"]
    return Winner(side, seed, spent.wall, score, rows)


def _ours(points: Sequence[Point], experiment: Sequence[str], folder: Path) -> list[str]:
    return [
        *experiment, f"study.n_trials={len(points)}", f"study.enqueue={enqueued(points)}", "study.space=quickstart",
        f"run_dir={folder / 'run'}", "tracker=none",
    ]  # fmt: skip


def main() -> None:
    given = _arguments()
    trials, seeds = (3, 1) if given.small else (given.trials, given.seeds)
    space, faults = load(sweeps_dir() / "quickstart.yaml", {})
    assert not faults, faults
    winners: list[Winner] = []
    with tempfile.TemporaryDirectory(prefix="sweep-benchmark-data-") as name:
        experiment = _experiment(given, Path(name))
        for seed in range(given.first, given.first + seeds):
            points, order = random_points(space, trials, seed), [OURS, *SIDES]
            found = []
            for side in (*order[seed % len(order) :], *order[: seed % len(order)]):
                found.append(measured(side, points, experiment, seed, given.limit))
                print(f"seed {seed}: {side}: {found[-1].seconds:.1f} s, {found[-1].score:.4f}", flush=True)
            winners += compared(found)
            if not given.small:
                winners = _written(winners, given)
    _show(winners)


def _experiment(given: argparse.Namespace, folder: Path) -> list[str]:
    few = ["dataset.max_train_samples=64", "dataset.max_eval_samples=32"] if given.small else []
    data = [] if given.data is None else [
        "dataset=banking77", f"dataset.path={of_first_intents(given.data, folder, 20)}", "dataset.max_length=128",
    ]  # fmt: skip
    return [
        "+experiment=quickstart", f"adapter={given.adapter}", *data, "model.pooling=null", f"trainer.device={given.device}",
        *few,
    ]  # fmt: skip


def results_file(given: argparse.Namespace) -> Path:
    data, adapter = "banking77" if given.data else "quickstart", "" if given.adapter == "lora" else f"{given.adapter}_"
    return RESULTS / f"time_to_winner_{data}_{adapter}{given.device}.json"


def _show(winners: Sequence[Winner]) -> None:
    for side in (OURS, *SIDES):
        own = [one for one in winners if one.side == side]
        scores = " ".join(f"{one.score:.4f}" for one in own)
        seconds, rows = median(one.seconds for one in own), median(one.rows for one in own)
        good = f"{sum(one.good for one in own)} of {len(own)} as good"
        print(f"{side:8} {seconds:8.1f} s, rows {rows:,.0f}, {good}: {scores}")
    for side, times in ratios(winners).items():
        print(f"{side} / {OURS}: {times:.2f}")
    others = min(times for side, times in ratios(winners).items() if side != "optuna")
    print(f"promised: {PROMISED}; the best of the others: {others:.2f}")


def _written(winners: Sequence[Winner], given: argparse.Namespace) -> list[Winner]:
    """Write the winners beside those of other seeds that the file of results has, and return all."""
    file, seeds = results_file(given), {one.seed for one in winners}
    former = json.loads(file.read_text()) if file.exists() else {"trials": None}
    kept = former["winners"] if former["trials"] == given.trials else []
    every = sorted([*(Winner(**one) for one in kept if one["seed"] not in seeds), *winners], key=lambda one: one.seed)
    winners_of_all = [asdict(one) for one in every]
    whole = {"trials": given.trials, "winners": winners_of_all, "ratios": dict(ratios(every)), "promised": PROMISED}
    write(file, whole, benchmark="time_to_winner")
    return every


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", choices=("lora", "head"), default="lora")
    parser.add_argument("--data", type=Path, help="folder with Banking77's train.csv and test.csv")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--limit", type=float, default=7200, help="seconds that a single process may take")
    parser.add_argument("--small", action="store_true", help="three trials on 64 rows, once; nothing is written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
