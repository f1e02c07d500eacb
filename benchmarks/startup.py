"""Times of `--help`, `--cfg job`, a mistake and a search's first trial.

    python -m benchmarks.startup [--against FOLDER] [--rounds 7] [--searches 3]

`--help`, `--cfg job` and a mistake are beside the time of the imports that they avoid. The first
trial of a search (LoRA on MiniLM, `launcher=inline`) starts once torch, model and data are loaded.
With `--against`, the same commands are run in turn with the sources of another checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import process
from benchmarks.table import Row, publish

PROMISED = 1.5
SWEEP = [sys.executable, "-m", "sweep"]
IMPORTS = "import transformers.Trainer, peft"
COMMANDS = {
    "sweep --help": ([*SWEEP, "--help"], 0, PROMISED),
    "sweep +experiment=quickstart --cfg job": ([*SWEEP, "+experiment=quickstart", "--cfg", "job", "--resolve"], 0, PROMISED),
    "sweep, three mistakes": (
        [*SWEEP, "+experiment=quickstart", "trainer.epochs=3", "optimizer.learning_rate=-1", "study.metric=eval/acc"], 2, PROMISED,
    ),
    IMPORTS: ([sys.executable, "-c", "import peft; from transformers import Trainer"], 0, None),
}  # fmt: skip
FIRST = "from the command to the first trial, inline"
SMALL = (
    "+experiment=quickstart", "dataset.max_train_samples=64", "dataset.max_eval_samples=32", "trainer.num_train_epochs=1",
    "study.n_trials=1", "study.pruner=none", "tracker=none",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--searches", type=int, default=3, help="of which the first trial's start is measured")
    given = parser.parse_args()
    sides: dict[str, dict[str, str]] = {"": {}}
    if given.against:
        sides[f", {given.against.name}"] = {"PYTHONPATH": str((given.against / "src").absolute())}
    seconds: dict[str, list[float]] = {f"{name}{side}": [] for name in (*COMMANDS, FIRST) for side in sides}
    for _ in range(given.rounds):
        for name in COMMANDS:
            for side, environment in list(sides.items())[: 1 if name == IMPORTS else 2]:
                seconds[name + side].append(_command(name, environment))
    for _ in range(given.searches):
        for side, environment in sides.items():
            seconds[FIRST + side].append(_first_trial(environment))
    limits = {name: limit for name, (_, _, limit) in COMMANDS.items()}
    publish("startup", [Row(name, found, limits.get(name)) for name, found in seconds.items() if found])


def _command(name: str, environment: dict[str, str]) -> float:
    """Return the seconds of one of the commands."""
    command, code, _ = COMMANDS[name]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, env={**os.environ, **environment})
    found = time.perf_counter() - began
    assert done.returncode == code, done.stderr.decode()
    return found


def _first_trial(environment: dict[str, str]) -> float:
    """Return the seconds from the start of a command to that of its first trial."""
    with TemporaryDirectory() as name:
        folder, began = Path(name), datetime.now(UTC)
        process.run("sweep", (*SMALL, f"run_dir={folder / 'run'}"), folder, environment=environment)
        record = json.loads((folder / "run" / "trials" / "0000" / "record.json").read_text())
    return (datetime.fromisoformat(record["started"]) - began).total_seconds()


if __name__ == "__main__":
    main()
