"""Times of `--help`, `--cfg job` and a mistake, beside the time of the imports that they avoid."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.table import Row, publish

ROUNDS = 7
PROMISED = 1.5
SWEEP = [sys.executable, "-m", "sweep"]
COMMANDS = {
    "sweep --help": ([*SWEEP, "--help"], 0, PROMISED),
    "sweep +experiment=quickstart --cfg job": ([*SWEEP, "+experiment=quickstart", "--cfg", "job", "--resolve"], 0, PROMISED),
    "sweep, three mistakes": (
        [*SWEEP, "+experiment=quickstart", "trainer.epochs=3", "optimizer.learning_rate=-1", "study.metric=eval/acc"], 2, PROMISED,
    ),
    "import transformers.Trainer, peft": ([sys.executable, "-c", "import peft; from transformers import Trainer"], 0, None),
}  # fmt: skip


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, (command, code, _limit) in COMMANDS.items():
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
            assert done.returncode == code, done.stderr.decode()
    publish("startup", [Row(name, seconds[name], limit) for name, (_, _, limit) in COMMANDS.items()])


if __name__ == "__main__":
    main()
