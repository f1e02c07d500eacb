"""Time per trial outside training and evaluation: the project, and `Trainer.hyperparameter_search` as one would write it.

Both train the same fixed trials, LoRA (rank 8, query and value) on MiniLM over the help-desk task, evaluate each epoch and
track to W&B offline. The baseline is `Trainer.hyperparameter_search(backend="optuna")` with a `model_init` that loads the
base and wraps it, the Trainer's own W&B callback, and no checkpoints. Its time inside training and evaluation is measured by
a callback around `train` and by the evaluations' own runtime. Rounds of the two alternate; the first trial of each round's
process counts for neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Row, publish

ROUNDS, TRIALS = 3, 4
PROMISED = 0.5


def main() -> None:
    found: dict[str, list[float]] = {"sweep": [], "Trainer.hyperparameter_search": []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            found["sweep"] += _project(Path(folder))
        with tempfile.TemporaryDirectory() as folder:
            found["Trainer.hyperparameter_search"] += _baseline(Path(folder))
    rows = [Row(name, seconds, PROMISED if name == "sweep" else None) for name, seconds in found.items()]
    publish("overhead", rows, {"trials measured of each": str(len(found["sweep"])),
                               "baseline / project": rows[1].median / rows[0].median})  # fmt: skip


def _project(folder: Path) -> list[float]:
    command = [
        sys.executable, "-m", "sweep", "+experiment=quickstart", f"run_dir={folder / 'run'}", f"study.n_trials={TRIALS}",
        "study.pruner=none", "study.space=null", "trainer.num_train_epochs=1", "tracker.mode=offline",
        "dataset.max_train_samples=128", "dataset.max_eval_samples=64",
    ]  # fmt: skip
    _run(command, folder)
    records = [json.loads(path.read_text()) for path in sorted((folder / "run" / "trials").glob("*/record.json"))]
    inside = [
        record["outcome"]["cost"]["train_seconds"] + record["outcome"]["cost"]["eval_seconds"] for record in records
    ]
    ended = [_seconds(record["finished"]) for record in records]
    return [ended[i] - ended[i - 1] - inside[i] for i in range(1, len(records))]


def _baseline(folder: Path) -> list[float]:
    _run([sys.executable, "-m", "benchmarks.hyperparameter_search", str(TRIALS), str(folder / "out.json")], folder)
    found: list[float] = json.loads((folder / "out.json").read_text())
    return found[1:]


def _run(command: list[str], folder: Path) -> None:
    local = {"WANDB_MODE": "offline", "WANDB_DIR": str(folder), "WANDB_SILENT": "true", "HF_HUB_OFFLINE": "1",
             "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **local})
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def _seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()


if __name__ == "__main__":
    main()
