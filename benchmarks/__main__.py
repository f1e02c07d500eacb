"""All of them, one after the other, each in a process of its own. Without a GPU, those for a GPU
run in their small size."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("startup", "predict", "overhead", "frozen_base", "packed", "snapshots", "memory", "packed_gpu")


def main() -> None:
    for name in BENCHMARKS:
        options = ["--small"] if name == "packed_gpu" and not _has_gpu() else []
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=True)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
