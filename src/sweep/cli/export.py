"""`sweep export RUN_DIR --to FORM PLACE`: the winner in a form that others load, checked against
the study's own logits."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from sweep.cli.arguments import decimal, whole
from sweep.cli.run_dir import add_winner, winner_of
from sweep.errors import reported
from sweep.export.request import Request, check
from sweep.outputs import importing

_FORMS = ("merged", "onnx", "hub")


def main(argv: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(argv)
    with reported():
        winner, request = winner_of(asked), _request(asked)
        check(request, winner.record.config.prompt)
        with importing():
            exporting = import_module("sweep.export.run")  # needs torch
        exporting.run(winner, request)


def _request(asked: argparse.Namespace) -> Request:
    return Request(
        form=asked.to, place=asked.place, merged=asked.merged, custom_code=asked.custom_code, public=asked.public,
        replace=asked.replace, rows=asked.rows, tolerance=asked.tolerance, base=asked.base, data=asked.data,
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep export",
        description="Write the winner in a form that others load, and compare its logits on validation rows with those of "
        "the study. Nothing is trained, and the run directory stays as it is.",
    )
    add_winner(parser)
    parser.add_argument(
        "--to", required=True, choices=_FORMS,
        help="merged: a folder of transformers alone; onnx: a file for onnxruntime; hub: a repository of the Hugging Face Hub",
    )  # fmt: skip
    parser.add_argument("place", metavar="PLACE", help="a new or empty folder, or OWNER/NAME with --to hub")
    parser.add_argument(
        "--tolerance", type=decimal(0), metavar="X",
        help="largest difference in logits at which an export is kept (default: 0.0001 of the largest logit, or 0.01 of it "
        "where the study computed in float16, and 0.05 in bfloat16)",
    )  # fmt: skip
    parser.add_argument("--rows", type=whole(1), default=128, help="validation rows of the check (default %(default)s)")
    parser.add_argument("--data", metavar="PATH", help="present location of the data set, if it has moved")
    parser.add_argument("--base", metavar="PATH", help="present location of the pretrained base, if it has moved")
    parser.add_argument("--custom-code", action="store_true",
                        help="with merged weights: write a pooling that no class of transformers has as Python code, "
                        "which transformers runs with trust_remote_code=True")  # fmt: skip
    group = parser.add_argument_group("with --to hub")
    group.add_argument("--merged", action="store_true", help="upload merged weights instead of the adapter")
    group.add_argument("--public", action="store_true", help="make the repository public; it is private by default")
    group.add_argument("--replace", action="store_true", help="replace the files that the repository holds")
    return parser
