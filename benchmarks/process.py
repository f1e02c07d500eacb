"""Runs of a part of a benchmark in a process of its own: offline, in a temporary folder, with a
time limit."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL = 4000  # characters of a failed process's output that are shown


@dataclass(frozen=True, slots=True)
class Spent:
    """The seconds by the clock, and those of the processor in all threads, which vary less on a
    busy machine."""

    wall: float
    cpu: float


def run(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    *,
    limit: float = 3600,
    environment: Mapping[str, str] | None = None,
) -> Spent:
    """Run `python -m MODULE ARGUMENTS…` to its end, with W&B and caches in `folder`, and return
    its time. `environment` goes before the variables of this process.

    It uses one GPU at most, unless the environment names others. If the process fails, or takes
    longer than `limit` seconds, the benchmark ends with the last lines of its output; its children
    are ended too. The same happens if the benchmark is ended by Ctrl-C or SIGTERM.
    """
    signal.signal(signal.SIGTERM, _stop)
    local = {"WANDB_MODE": "offline", "WANDB_DIR": str(folder), "WANDB_DATA_DIR": str(folder), "WANDB_SILENT": "true",
             "WANDB_CACHE_DIR": str(folder / "wandb-cache"), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
             "SWEEP_CACHE": str(folder / "cache")}  # fmt: skip
    # Both sides of a comparison wait for their threads in the same way.
    defaults = {"CUDA_VISIBLE_DEVICES": "0", "GOMP_SPINCOUNT": "1000"}
    log = folder / "output.txt"
    began, used = time.perf_counter(), _processor()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**defaults, **os.environ, **local, **(environment or {})}, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            raise SystemExit(
                f"{module} took longer than {limit:g} s and was stopped; make the task smaller or --limit larger. "
                f"It said last:\n{_tail(log)}"
            ) from None
        finally:
            _end(process)
    if code:
        raise SystemExit(f"{module} {' '.join(arguments)}\nended with {code}:\n{_tail(log)}")
    return Spent(time.perf_counter() - began, _processor() - used)


def _processor() -> float:
    """Return the processor seconds of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process with its children: W&B has a service process."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _stop(*_: object) -> None:
    """Like Ctrl-C: children are ended and folders removed on the way out."""
    print("ended by SIGTERM", file=sys.stderr)
    raise SystemExit(128 + signal.SIGTERM)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-TAIL:]
