"""`sweep predict RUN_DIR INPUT`: the winner's labels for the rows of a file, or for the lines of
standard input."""

from __future__ import annotations

import argparse
import codecs
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pyarrow as pa

from sweep.cli.run_dir import add_winner, winner_of
from sweep.data.endings import PARQUET, kind_of
from sweep.data.raw import listed
from sweep.data.stream import TextFormat, Window
from sweep.engine.numerics import tell_libraries
from sweep.errors import Fault, Interrupted, UserError, disk_failure, reported
from sweep.predict.columns import Added
from sweep.predict.labelling import label_rows
from sweep.predict.output import Shape, Writer, file_writer, out_faults, stream_writer, unfinished
from sweep.predict.rows import TEXT, Checked, checked, growing, lines, opened, windows
from sweep.predict.tally import Tally, shown
from sweep.records.winner import Winner
from sweep.study import interrupts

if TYPE_CHECKING:
    from sweep.predict.classifier import Classifier

STDIN = "-"
_MANIFEST = "sweep_model.json"  # of a saved model; sweep.model.manifest, which has the name too, imports torch


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is asked, checked. `source` is None for the lines of standard input, and
    `out` for CSV on standard output; `texts` are the columns of one text, or two."""

    winner: Winner
    texts: tuple[str, ...]
    source: Checked | None
    added: Added
    out: Path | None
    form: TextFormat
    device: str
    base: str | None
    batch_size: int

    @property
    def shape(self) -> Shape:
        """Return the columns to write."""
        schema = pa.schema([(TEXT, pa.string())]) if self.source is None else self.source.schema
        return Shape(schema.names, self.added.types, schema)


def main(argv: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(argv)
    with reported(), _open_pipe():
        job = _job(asked, winner_of(asked))
        model = _loaded(job)
        tally = Tally(None if job.source is None else job.source.count)
        with _kept(job, tally), interrupts.as_one_error():
            _label(job, model, tally)
        print("\n".join(tally.report(job.out, model.reader.limit)), file=sys.stderr)


def _job(asked: argparse.Namespace, winner: Winner) -> Job:
    """Return the checked job. Raises UserError with all faults of the arguments and the input."""
    config = winner.record.config
    faults = list(_model_faults(winner))
    flags = ("--text-column", "--text-pair-column")
    named = (asked.text_column or config.dataset.text_column, asked.text_pair_column or config.dataset.text_pair_column)
    paired = config.dataset.text_pair_column is not None
    if asked.text_pair_column is not None and not paired:
        faults.append(Fault(flags[1], f"is {asked.text_pair_column}, but the model reads one text a row; leave it out"))
    texts = tuple(name for name in (named if paired else named[:1]) if name is not None)
    form = TextFormat(
        asked.encoding or config.dataset.encoding, asked.delimiter or config.dataset.delimiter, config.dataset.quoting
    )
    source = None
    if asked.input == STDIN and not paired:
        texts, form = (TEXT,), replace(form, encoding=asked.encoding or TextFormat().encoding)
    elif asked.input == STDIN:
        faults.append(
            Fault("INPUT", f"is -, but the model reads two texts a row; give a file with {' and '.join(texts)}")
        )
    else:
        try:
            source = checked(opened(Path(asked.input), form), tuple(zip(flags, texts, strict=False)))
        except UserError as error:
            faults += error.faults
    several = config.dataset.task == "multi_label"
    added = Added(winner.record.label_names, several, every=asked.all, top=asked.top, prefix=asked.prefix)
    faults += added.faults([TEXT] if source is None else source.schema.names)
    if asked.out is not None:
        faults += out_faults(asked.out, None if source is None else source.stream.path)
        faults += _parquet_faults(asked.out, source)
    if faults:
        raise UserError(faults)
    size = asked.batch_size or config.trainer.per_device_eval_batch_size
    return Job(winner, texts, source, added, asked.out, form, asked.device, asked.base, size)


def _model_faults(winner: Winner) -> Iterator[Fault]:
    if not (winner.model / _MANIFEST).is_file():
        yield Fault(str(winner.model), f"holds no saved model: it lacks {_MANIFEST}; put it back from a copy")


def _parquet_faults(out: Path, source: Checked | None) -> Iterator[Fault]:
    kind = kind_of(out)
    if source is not None and source.mixed and kind is not None and kind.ending == PARQUET:
        rule = f"is Parquet, whose columns have one type, but values of more types are in {listed(source.mixed)}"
        yield Fault("--out", f"{rule}; write JSON lines, as in --out {out.with_suffix('.jsonl')}")


def _loaded(job: Job) -> Classifier:
    """Return the model. It is imported by name, and only now: torch takes seconds, and what is
    wrong with the arguments was said before."""
    tell_libraries()
    with interrupts.at_once():
        loading = import_module("sweep.predict.loading")
    try:
        model: Classifier = loading.of_winner(job.winner, device=job.device, base=job.base)
    except UserError as error:
        raise UserError([_in_flags(fault) for fault in error.faults]) from None
    return model


def _in_flags(fault: Fault) -> Fault:
    path = "--device" if fault.path == "device" else fault.path
    return Fault(path, fault.message.replace("load(folder, base=…)", "--base PATH"), fault.origin)


def _label(job: Job, model: Classifier, tally: Tally) -> None:
    with _writer(job) as writer, shown(tally, beside_rows=job.out is None):
        rows = _windows(job, model)
        label_rows(model, rows, writer, tally, texts=job.texts, added=job.added, batch_size=job.batch_size)


def _windows(job: Job, model: Classifier) -> Iterator[Window]:
    sizes = growing(job.batch_size, model.window)
    if job.source is not None:
        return windows(job.source.stream, sizes)
    if sys.stdin.isatty():
        print("One text a line; Ctrl-D ends.", file=sys.stderr)
    return lines(sys.stdin.fileno(), job.form.encoding, sizes)


@contextmanager
def _writer(job: Job) -> Iterator[Writer]:
    if job.out is None:
        yield stream_writer(_utf8(sys.stdout), job.shape)
    else:
        with file_writer(job.out, job.shape) as writer:
            yield writer


def _utf8(stream: TextIO) -> TextIO:
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream


@contextmanager
def _open_pipe() -> Iterator[None]:
    """End quietly where the reader of standard output has gone, such as `head`."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains as it ends
        raise SystemExit(0) from None


@contextmanager
def _kept(job: Job, tally: Tally) -> Iterator[None]:
    """Add to an error how many rows were done, and where they are."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"stopped after {_done(job, tally)}") from None
    except UserError as error:
        first, *others = error.faults
        message = f"{first.message}; done: {_done(job, tally)}"
        raise UserError([Fault(first.path, message, first.origin), *others]) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        failure = disk_failure(error)
        if failure is None:
            raise
        raise UserError.of("--out", f"could not be written to ({failure}); done: {_done(job, tally)}") from None


def _done(job: Job, tally: Tally) -> str:
    where = "" if job.out is None or not tally.rows else f", which are in {unfinished(job.out)}"
    return f"{tally.words()}{where}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep predict",
        description="Label the rows of a file with the winner of a study. Rows keep their order and their columns, and get "
        "the columns label and probability. Nothing is trained.",
        epilog="A file is read twice: it is checked as a whole before the model is loaded. It may be larger than memory.",
    )  # fmt: skip
    add_winner(parser)
    parser.add_argument(
        "input", metavar="INPUT",
        help="a file of rows (.csv .tsv .jsonl .json .parquet; text files also with .gz .bz2 .xz .zst behind), or - for texts "
        "on standard input, one a line",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write, in the format of its ending; by default CSV "
                        "on standard output")  # fmt: skip
    columns = parser.add_argument_group("columns")
    columns.add_argument("--text-column", metavar="NAME", help="of the text; by default that of the study")
    columns.add_argument("--text-pair-column", metavar="NAME", help="of the second text; by default that of the study")
    columns.add_argument("--all", action="store_true", help="add probability_NAME for each label")
    columns.add_argument(
        "--top", type=_count, default=0, metavar="K", help="add label_1, probability_1, … of the K likeliest"
    )
    columns.add_argument("--prefix", default="", metavar="TEXT", help="before the name of each added column")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default %(default)s)")
    parser.add_argument("--batch-size", type=_count, metavar="N", help="rows in a forward pass; by default that of the study's "
                        "evaluations")  # fmt: skip
    parser.add_argument("--base", metavar="PATH", help="where the base model is now, if it has moved")
    parser.add_argument(
        "--encoding", type=_encoding, metavar="NAME", help="of text files; by default that of the study"
    )
    parser.add_argument("--delimiter", type=_delimiter, metavar="CHARACTER", help="of delimited files; by default that of the "
                        "study, or found in the header")  # fmt: skip
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65_536:
        raise argparse.ArgumentTypeError(f"is {number}, but must be from 1 to 65536")
    return number


def _encoding(text: str) -> str:
    try:
        return codecs.lookup(text).name
    except LookupError:
        raise argparse.ArgumentTypeError(f"is {text}, which is no encoding that Python knows, such as cp1252") from None


def _delimiter(text: str) -> str:
    found = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(found) != 1:
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be one character, or tab")
    return found
