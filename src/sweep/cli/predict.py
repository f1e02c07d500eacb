"""`sweep predict RUN_DIR INPUT`: the winner's labels for the rows of a file, or for the lines of
standard input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pyarrow as pa

from sweep.cli.arguments import delimiter, encoding, whole
from sweep.cli.run_dir import add_winner, winner_of
from sweep.config.schema import DatasetConfig
from sweep.data.file_formats import JSON, PARQUET, kind_of
from sweep.data.stream import TextFormat, Window
from sweep.engine.numerics import tell_libraries
from sweep.errors import Fault, Interrupted, UserError, disk_failure, reported
from sweep.outputs import importing
from sweep.predict.columns import Added
from sweep.predict.labelling import label_rows
from sweep.predict.output import Shape, Writer, file_writer, out_faults, parquet_faults, stream_writer, unfinished
from sweep.predict.rows import TEXT, Checked, checked, growing, lines, opened, quoted, windows
from sweep.predict.tally import Tally, shown
from sweep.records.winner import MANIFEST, Winner
from sweep.study import interrupts

if TYPE_CHECKING:
    from sweep.predict.classifier import Classifier

STDIN = "-"


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
    with reported():
        job = _job(asked, winner_of(asked))
        model = _loaded(job)
        tally = Tally(None if job.source is None else job.source.count)
        with _kept(job, tally), interrupts.as_one_error():
            _label(job, model, tally)
        print("\n".join(tally.report(job.out, model.reader.limit)), file=sys.stderr)


def _job(asked: argparse.Namespace, winner: Winner) -> Job:
    """Return the checked job. Raises UserError with all faults of the arguments and the input."""
    config = winner.record.config
    faults = [*_model_faults(winner), *_idle_faults(asked)]
    flags = ("--text-column", "--text-pair-column")
    named = (asked.text_column or config.dataset.text_column, asked.text_pair_column or config.dataset.text_pair_column)
    paired = config.dataset.text_pair_column is not None
    if asked.text_pair_column is not None and not paired:
        faults.append(Fault(flags[1], f"is {asked.text_pair_column}, but the model reads one text a row; leave it out"))
    texts = tuple(name for name in (named if paired else named[:1]) if name is not None)
    form, source = _form(asked, config.dataset), None
    if asked.input == STDIN and not paired:
        texts = (TEXT,)
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


def _form(asked: argparse.Namespace, data: DatasetConfig) -> TextFormat:
    """Return the form of the input: as asked for, else that of the study, else the usual one."""
    if asked.input == STDIN:
        return TextFormat(asked.encoding or TextFormat().encoding)
    quoting = quoted(Path(asked.input), data) if asked.quoting is None else asked.quoting == "on"
    return TextFormat(asked.encoding or data.encoding, asked.delimiter or data.delimiter, quoting)


def _idle_faults(asked: argparse.Namespace) -> Iterator[Fault]:
    """Yield a fault for each option that would change nothing for an input of this kind."""
    kind = None if asked.input == STDIN else kind_of(Path(asked.input))
    idle = ["delimiter", "quoting"]
    if asked.input == STDIN:
        what, idle = "texts on standard input", ["text_column", *idle]
    elif kind is not None and kind.ending == PARQUET:
        what, idle = "a Parquet file", ["encoding", *idle]
    elif kind is not None and kind.ending in JSON:
        what = "a file of JSON"
    else:
        return
    for name in idle:
        if getattr(asked, name) is not None:
            yield Fault(f"--{name.replace('_', '-')}", f"has no effect on {what}; leave it out")


def _model_faults(winner: Winner) -> Iterator[Fault]:
    if not (winner.model / MANIFEST).is_file():
        yield Fault(str(winner.model), f"holds no saved model: it lacks {MANIFEST}; put it back from a copy")


def _parquet_faults(out: Path, source: Checked | None) -> Iterator[Fault]:
    kind = kind_of(out)
    if source is not None and kind is not None and kind.ending == PARQUET:
        yield from parquet_faults(out, source.schema, source.mixed)


def _loaded(job: Job) -> Classifier:
    """Return the model. It is imported by name, and only now: torch takes seconds, and what is
    wrong with the arguments was said before."""
    tell_libraries()
    with interrupts.at_once(), importing():
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
        failure = disk_failure(error) or (f"{error.filename}: {error.strerror}" if error.filename else None)
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
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write, in the format of its ending (default: CSV "
                        "on standard output)")  # fmt: skip
    columns = parser.add_argument_group("columns")
    columns.add_argument("--text-column", metavar="NAME", help="column of the text (default: the study's)")
    columns.add_argument("--text-pair-column", metavar="NAME", help="column of the second text (default: the study's)")
    columns.add_argument("--all", action="store_true", help="add probability_NAME for each label")
    columns.add_argument(
        "--top",
        type=whole(1, 65_536),
        default=0,
        metavar="K",
        help="add label_1, probability_1, … for the K likeliest labels",
    )
    columns.add_argument("--prefix", default="", metavar="TEXT", help="text before the name of each added column")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="device (default: %(default)s)"
    )
    parser.add_argument("--batch-size", type=whole(1, 65_536), metavar="N",
                        help="rows in a forward pass (default: as in the study's evaluations)")  # fmt: skip
    parser.add_argument("--base", metavar="PATH", help="present location of the base model, if it has moved")
    parser.add_argument(
        "--encoding", type=encoding, metavar="NAME", help="encoding of text files (default: the study's)"
    )
    parser.add_argument("--delimiter", type=delimiter, metavar="CHARACTER", help="delimiter of delimited files (default: the "
                        "study's, or as found in the header)")  # fmt: skip
    parser.add_argument(
        "--quoting", choices=("on", "off"),
        help="whether double quotes in delimited files enclose fields (default: as in the study if the file has the ending of "
        "the study's files, otherwise on)",
    )  # fmt: skip
    return parser
