"""How a benchmark says what it found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from sweep.provenance import machine, now, package_versions

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """`seconds` are the single measurements; `limit` is what the project promises, if it does."""

    name: str
    seconds: Sequence[float]
    limit: float | None = None

    @property
    def median(self) -> float:
        return median(self.seconds)


def publish(benchmark: str, rows: Sequence[Row], notes: dict[str, float | str] | None = None) -> None:
    """Print the rows and write them, with versions and machine, to `benchmarks/results/NAME.json`."""
    print(f"{'':44}{'median':>10}{'lowest':>10}{'highest':>10}{'promised':>10}")
    for row in rows:
        limit = f"{row.limit:>9.3f}s" if row.limit is not None else ""
        print(f"{row.name:44}{row.median:>9.3f}s{min(row.seconds):>9.3f}s{max(row.seconds):>9.3f}s{limit:>10}")
    for name, value in (notes or {}).items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    RESULTS.mkdir(exist_ok=True)
    found = {
        "benchmark": benchmark, "date": now(), "machine": machine(),
        "versions": package_versions(), "rows": [asdict(row) | {"median": row.median} for row in rows], "notes": notes or {},
    }  # fmt: skip
    (RESULTS / f"{benchmark}.json").write_text(json.dumps(found, indent=2) + "\n")
