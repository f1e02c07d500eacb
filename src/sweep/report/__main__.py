"""`python -m sweep.report RUN_DIR`: the report again, from the run directory alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import reported
from sweep.records.store import Store
from sweep.report.summary import summary_lines
from sweep.report.write import write_report


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sweep.report", description="Write the report of a run directory again."
    )
    parser.add_argument("run_dir", type=Path, help="the run directory of a study, such as runs/quickstart")
    store = Store(parser.parse_args(argv).run_dir)
    with reported():
        write_report(store)
        print("\n".join(summary_lines(store)))


if __name__ == "__main__":
    main()
