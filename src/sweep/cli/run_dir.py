"""The argument RUN_DIR of a command, and the winner that it names."""

from __future__ import annotations

import argparse
from pathlib import Path

from sweep.records.winner import Winner, find_winner


def add_run_dir(parser: argparse.ArgumentParser) -> None:
    """Add the argument RUN_DIR, which `run_dir` holds."""
    parser.add_argument(
        "run_dir", type=Path, metavar="RUN_DIR", help="run directory of a study, such as runs/quickstart"
    )


def add_winner(parser: argparse.ArgumentParser) -> None:
    """Add RUN_DIR, and `--choice` for a study that compared methods."""
    add_run_dir(parser)
    parser.add_argument(
        "--choice",
        metavar="VALUE",
        help="winner of a study that compared methods: a value of study.compare_by, such as lora",
    )


def winner_of(asked: argparse.Namespace) -> Winner:
    """Return the winner that the arguments of `add_winner` name.

    Raises UserError as `sweep.records.winner.find_winner` does.
    """
    return find_winner(asked.run_dir, asked.choice)
