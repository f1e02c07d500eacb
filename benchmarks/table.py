"""The output of a benchmark: a table on the terminal and a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from sweep.provenance import machine, now, package_versions

RESULTS = Path(__file__).parent / "results"
SHOWN = ("sweep", "torch", "transformers", "peft", "bitsandbytes", "optuna", "wandb")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. `values` are the single measurements; `limit` is the project's
    promise, if there is one."""

    name: str
    values: Sequence[float]
    limit: float | None = None
    unit: str = "s"

    @property
    def median(self) -> float:
        return median(self.values)

    def cells(self) -> tuple[str, ...]:
        found = (self.median, min(self.values), max(self.values), self.limit)
        return tuple("" if value is None else f"{value:.3f} {self.unit}" for value in found)


def publish(benchmark: str, rows: Sequence[Row], notes: dict[str, float | str] | None = None) -> None:
    """Print the rows and write them, with versions and machine, to
    `benchmarks/results/NAME.json`."""
    for name, cells in (("", ("median", "lowest", "highest", "promised")), *((row.name, row.cells()) for row in rows)):
        print(f"{name:52}" + "".join(f"{cell:>16}" for cell in cells))
    for name, value in (notes or {}).items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    versions = package_versions()
    print("versions: " + ", ".join(f"{name} {version}" for name, version in versions.items() if name in SHOWN))
    RESULTS.mkdir(exist_ok=True)
    found = {
        "benchmark": benchmark, "date": now(), "machine": machine(),
        "versions": versions, "rows": [asdict(row) | {"median": row.median} for row in rows], "notes": notes or {},
    }  # fmt: skip
    (RESULTS / f"{benchmark}.json").write_text(json.dumps(found, indent=2) + "\n")
