"""`sweep compare RUN_DIR RUN_DIR …`, or `python -m sweep.compare`: finished runs side by side,
from their run directories alone."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from sweep.analysis.comparison.comparison import SAMPLES, SEED, Comparison, compare
from sweep.analysis.comparison.methods import Entry
from sweep.cli.arguments import whole
from sweep.errors import Fault, UserError, reported
from sweep.report.comparison.publish import publish
from sweep.report.comparison.summary import summary_lines
from sweep.report.comparison.write import write

_TRACKERS = ("wandb", "mock", "none")


def main(argv: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(argv)
    with reported():
        comparison = _compared(asked)
        folder = asked.out or Path("runs") / _default_name(comparison)
        folder.mkdir(parents=True, exist_ok=True)
        files = write(comparison, folder)
        print("\n".join(summary_lines(comparison)))
        print(f"Report    {files[0]} (and compare.md, comparison.json)", flush=True)
        publish(comparison, folder, files, tracker=asked.tracker)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep compare",
        description="Compare finished runs: scores, significance, cost, and the rows that each gets wrong. "
        "Nothing is trained, and no test split is read.",
    )
    parser.add_argument("runs", nargs="+", metavar="[NAME=]RUN_DIR",
                        help="run directories; one is enough if it compares methods itself (study.compare_by)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: runs/compare-NAMES)")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME",
                        help="metric to compare, such as f1_macro; repeatable, the first one ranks (default: the objective "
                        "and the task's main metrics)")  # fmt: skip
    parser.add_argument(
        "--samples", type=whole(100, 1_000_000), default=SAMPLES, help="bootstrap resamples (default %(default)s)"
    )
    parser.add_argument("--seed", type=whole(0), default=SEED, help="seed of the bootstrap (default %(default)s)")
    parser.add_argument(
        "--tracker", choices=_TRACKERS, help="tracker of the comparison (default: that of the first run)"
    )
    return parser


def _compared(asked: argparse.Namespace) -> Comparison:
    faults = _out_faults(asked.out)
    entries = [_entry(given) for given in asked.runs]
    try:
        comparison = compare(entries, metrics=asked.metric, samples=asked.samples, seed=asked.seed)
    except UserError as error:
        raise UserError([*error.faults, *faults]) from None
    if faults:
        raise UserError(faults)
    return comparison


def _entry(given: str) -> Entry:
    name, equals, root = given.partition("=")
    return Entry(Path(root), name) if equals and name and not Path(given).exists() else Entry(Path(given))


def _default_name(comparison: Comparison) -> str:
    names = "-".join(one.name for one in comparison.methods)
    return "compare-" + re.sub(r"[^\w.]+", "-", names)[:80].strip("-")


def _out_faults(folder: Path | None) -> list[Fault]:
    """Return why the folder cannot be written to. It is not made: the runs may have faults."""
    if folder is None:
        return []
    if (folder / "lock.json").exists():
        return [Fault("--out", f"is {folder}, but that is a run directory; name another folder")]
    nearest = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir():
        return [Fault("--out", f"is {folder}, but it cannot be made: {nearest} is no folder")]
    return []
