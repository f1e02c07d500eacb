"""The output of a benchmark: a table on the terminal and a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

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
    found = {"rows": [asdict(row) | {"median": row.median} for row in rows], "notes": notes or {}}
    write(RESULTS / f"{benchmark}.json", found, indent=2)


def write(file: Path, found: Mapping[str, Any], *, benchmark: str = "", indent: int = 1) -> None:
    """Write what a benchmark found, with its name (that of the file unless given), date, machine
    and versions."""
    whole = {
        "benchmark": benchmark or file.stem, "date": now(), "machine": machine(), "versions": package_versions(), **found,
    }  # fmt: skip
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(whole, indent=indent) + "\n")
