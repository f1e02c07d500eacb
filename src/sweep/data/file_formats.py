"""The format and compression of a file by its name, and why other files are not read."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from sweep.errors import first_line

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
JSON = (".jsonl", ".json")
PARQUET = ".parquet"
ENDINGS = (*DELIMITERS, *JSON, PARQUET)
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
KNOWN = f"{' '.join(ENDINGS)} (all but the last also with {' '.join(COMPRESSED)} behind)"

_CONVERT = {
    ".xlsx .xls .xlsm .xlsb .ods .numbers": "a spreadsheet: save the sheet as CSV",
    ".zip .tar .tgz .7z .rar": "an archive: unpack it",
    ".arrow .feather .ipc": "an Arrow file: save it as Parquet, or give the whole folder that save_to_disk wrote",
    ".pkl .pickle .pt .npy .npz": "Python objects: save them as Parquet or JSON lines",
    ".db .sqlite .sqlite3 .duckdb": "a database: save the table as CSV or Parquet",
    ".xml .html .yaml .yml .orc .avro .dta .sav .rdata .rds": "another format: save it as CSV, JSON lines or Parquet",
    ".ndjson": "JSON lines: rename it to .jsonl",
    " ".join(COMPRESSED): "compressed, but not named after what is inside, as in train.csv.gz",
}
# Functions like `open`, by the ending of the compression that Python itself knows.
OPENERS: Mapping[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_REASONS = {ending: reason for endings, reason in _CONVERT.items() for ending in endings.split()}


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of a file.

    `stem` is its name without endings; `codec` is the ending of its compression, or empty.
    """

    stem: str
    ending: str
    codec: str = ""


def kind_of(path: Path) -> Kind | None:
    """Return the kind of a file; None if such files are not read."""
    codec = path.suffix.lower() if path.suffix.lower() in COMPRESSED else ""
    inner = path.with_suffix("") if codec else path
    ending = inner.suffix.lower()
    if ending not in ENDINGS or (codec and ending == PARQUET):
        return None
    return Kind(inner.stem, ending, codec)


def reason_unread(path: Path) -> str:
    """Return the kind of a file that is not read, and what to do about it; empty if the kind is
    not known."""
    if path.is_dir():
        return "a folder: name it in dataset.path"
    if path.is_symlink() and not path.exists():
        return "a link to a file that is not there"
    if path.name.lower().endswith(tuple(f".tar{codec}" for codec in COMPRESSED)):
        return _REASONS[".tar"]
    if path.suffix.lower() in COMPRESSED and path.with_suffix("").suffix.lower() == PARQUET:
        return "Parquet is compressed within: unpack it"
    return _REASONS.get(path.suffix.lower(), "")


@contextmanager
def open_bytes(path: Path, codec: str) -> Iterator[BinaryIO]:
    """Open a file to read its decompressed bytes from the start on.

    Raises ValueError where the compressed file is found to be damaged.
    """
    try:
        if codec == ".zst":
            with pa.input_stream(str(path), compression="zstd") as stream:
                yield cast(BinaryIO, stream)
        else:
            with OPENERS.get(codec, open)(path, "rb") as file:
                yield cast(BinaryIO, file)
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise _damaged(codec, error) from None


def _damaged(codec: str, error: Exception) -> Exception:
    """Return an error of a compressed file in words; an error of the system stays as it is."""
    if not codec or (isinstance(error, OSError) and error.errno is not None):
        return error
    return ValueError(f"it is no whole {codec} file ({first_line(error)})")


def read_bytes(path: Path, codec: str) -> bytes:
    """Return the decompressed bytes of a file.

    Raises ValueError if the compressed file is damaged.
    """
    with open_bytes(path, codec) as file:
        return file.read()
