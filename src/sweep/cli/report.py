"""`sweep report RUN_DIR`: the report again, or with `--json` the numbers behind it, from the run
directory alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from sweep.analysis.facts import read
from sweep.analysis.plain import plain
from sweep.analysis.study import analyse
from sweep.cli.run_dir import add_run_dir
from sweep.errors import reported
from sweep.records.store import Store


def main(argv: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(argv)
    with reported():
        print(analysis(Store(asked.run_dir)) if asked.json else _written(Store(asked.run_dir)))


def analysis(store: Store) -> str:
    """Return the whole analysis of a run directory as one JSON document; the report is not
    written.

    Raises UserError where the folder is no run directory.
    """
    return json.dumps(plain(analyse(read(store))), indent=2, ensure_ascii=False, allow_nan=False)


def _written(store: Store) -> str:
    """Write the report and return its terminal summary. Figures load only here."""
    from sweep.report.summary import summary_lines
    from sweep.report.write import write_report

    return "\n".join(summary_lines(write_report(store)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep report", description="Write the report of a run directory again. Nothing is trained."
    )
    add_run_dir(parser)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON instead, and write nothing")
    return parser
