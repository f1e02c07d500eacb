from __future__ import annotations
import argparse
from pathlib import Path
from benchmarks import curves
p = argparse.ArgumentParser()
p.add_argument("--record", choices=curves.TABLES)
p.add_argument("--data", type=Path)
p.add_argument("--runs", type=Path, default=Path("runs/search_efficiency"))
p.add_argument("--points", type=int)
a = p.parse_args()
curves.record(a.record, a.data, a.runs, points=a.points)
