"""Faults that a user can cause, and how they are reported: with a message and exit code 2."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sweep import outputs


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault: the config key or file (`path`), the broken rule (`message`), and where the value
    was set (`origin`)."""

    path: str
    message: str
    origin: str = ""

    def __str__(self) -> str:
        set_at = f"  (from {self.origin})" if self.origin else ""
        return f"{self.path}: {self.message}{set_at}" if self.path else f"{self.message}{set_at}"


class UserError(Exception):
    """The faults that were found. The user sees them as a message, without a traceback."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        super().__init__("\n".join(map(str, self.faults)))

    def __reduce__(self) -> tuple[type[UserError], tuple[Sequence[Fault]]]:
        return type(self), (self.faults,)

    @classmethod
    def of(cls, path: str, message: str, origin: str = "") -> UserError:
        """Return an error with one fault."""
        return cls([Fault(path, message, origin)])


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class if it has no text."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def raise_if_out_of_memory(error: Exception) -> None:
    """Raise MemoryError if the error of a library says that memory ran out."""
    if out_of_memory(error):
        raise MemoryError(first_line(error)) from error


def shortened(text: str, most: int) -> str:
    """Return `text`, cut to at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def closest(name: str, names: Iterable[str]) -> str:
    """Return a question with the name that was probably meant; empty if none is similar."""
    found = get_close_matches(name, names, n=1)
    return f" (did you mean {found[0]}?)" if found else ""


KEPT = "What was recorded is kept; the same command goes on from there."
STOPPED_AT_ONCE = f"sweep: stopped at once. {KEPT}"

# Error codes of a disk that is full, over quota, read-only or broken; PostgreSQL has its own for a
# server's disk.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE)
_SQLITE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_SQLSTATE_DISK = ("53100", "58030", "25006")
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # in messages of libraries written in Rust, such as safetensors


def disk_failure(error: BaseException) -> str | None:
    """Return the failure of a disk that `error` or one of its causes reports; None for any other
    error."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if (failure := _own_disk_failure(found)) is not None:
            return failure
        seen.add(id(found))
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return None


def _own_disk_failure(error: BaseException) -> str | None:
    """Return the failure of a disk that `error` itself reports, without its causes."""
    code = error.errno if isinstance(error, OSError) else None
    if code is None and (found := _OS_ERROR.search(str(error))):
        code = int(found[1])
    if code in _DISK:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        return f"{where}{os.strerror(code)}"
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_DISK:
        return f"SQLite: {first_line(error)}"
    return first_line(error) if getattr(error, "sqlstate", None) in _SQLSTATE_DISK else None


class Interrupted(Exception):
    """The user stopped the study. Everything that was done is kept."""


def render(error: UserError) -> str:
    """Return the message that the user sees."""
    lines = [f"  - {fault}" for fault in error.faults]
    head = "sweep: 1 thing to mend" if len(lines) == 1 else f"sweep: {len(lines)} things to mend"
    return "\n".join([f"{head}:", *lines])


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add `path` to a system error that names no path, such as one of writing to an open file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def reported() -> Iterator[None]:
    """End the program with a message on standard error: with exit code 2 for a `UserError`, a full
    disk, exhausted memory, too many open files or a path that no file can have, and 130 after a
    stop by the user. Where the reader of standard output has gone (`sweep report … | head`), end
    it silently with 141. Any other error is passed on.

    What standard error does not take is dropped (`outputs.dropping_unwritable`)."""
    with outputs.dropping_unwritable("stderr"):
        outputs.escape_unencodable()
        try:
            yield
            sys.stdout.flush()
        except UserError as error:
            print(render(error), file=sys.stderr)
            raise SystemExit(2) from None
        except Interrupted as stop:
            print(f"sweep: {stop}", file=sys.stderr)
            raise SystemExit(130) from None
        except Exception as error:
            if isinstance(error, BrokenPipeError) and outputs.unread():
                raise SystemExit(141) from None  # as a shell reports SIGPIPE
            if (message := _failure(error)) is None:
                raise
            print(f"sweep: {message}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print(STOPPED_AT_ONCE, file=sys.stderr)
            raise SystemExit(130) from None
        finally:
            outputs.drop_unwritable()


def _failure(error: Exception) -> str | None:
    """Return what the user is told of memory or open files that ran out, a disk that failed, a
    path that no file can have, or a working directory that is gone; None for any other error."""
    if out_of_memory(error):
        return f"out of memory: {first_line(error)}. {ADVICE}."
    if isinstance(error, OSError) and error.errno in _NO_PATH and error.filename:
        return f"{shortened(str(error.filename), _SHOWN)}: {error.strerror}; {_NO_PATH[error.errno]}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return f"too many files are open. Raise their limit (ulimit -n). {KEPT}"
    if isinstance(error, FileNotFoundError) and not _has_place():
        return "the working directory was deleted; change to another one (cd)"
    if (failure := disk_failure(error)) is None:
        return None
    unnamed = isinstance(error, OSError) and error.filename is None  # files that sweep writes are named
    unknown = "standard output, or a file of a library, could not be written"
    what = unknown if unnamed else "a file could not be read or written"
    return f"{what}: {failure}. {to_mend(failure)}{KEPT}"


def _has_place() -> bool:
    """Return whether the working directory exists."""
    try:
        os.getcwd()  # noqa: PTH109  # pathlib is no shorter
    except FileNotFoundError:
        return False
    return True


# Error codes of a path that no file can have, and what to do: too long, through a file, through
# links in a ring, or that of a folder.
_ANOTHER = "name another path"
_NO_PATH = {
    errno.ENAMETOOLONG: _ANOTHER,
    errno.ENOTDIR: _ANOTHER,
    errno.ELOOP: _ANOTHER,
    errno.EISDIR: f"move that folder away, or {_ANOTHER}",
}
_SHOWN = 100  # characters of a path

_ROOM = "Make room on that disk"
_MENDED = {
    os.strerror(errno.ENOSPC): _ROOM,
    "disk is full": _ROOM,  # SQLite's words
    os.strerror(errno.EDQUOT): "Make room within your quota",
    os.strerror(errno.EFBIG): "Raise the limit of a file's size (ulimit -f)",
    os.strerror(errno.EROFS): "Make that disk writable",
    os.strerror(errno.EACCES): "Give this user the right to read and write there",
}


def to_mend(failure: str) -> str:
    """Return what the user can do about a `disk_failure`; empty where that is not known."""
    return next((f"{advice}. " for ending, advice in _MENDED.items() if failure.endswith(ending)), "")


_OUT_OF_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "out of memory", "not enough memory", "unable to mmap", "bad_alloc",
    "cublas_status_alloc_failed",
)  # fmt: skip

ADVICE = (
    "Free memory or raise its limit (ulimit -v, the memory of the job), or take a smaller model, model.dtype=bfloat16 or "
    "fewer engine.slots; the same command goes on from there"
)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out.

    PyTorch's allocators, safetensors and some CUDA libraries say so only in the text of an error.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, Exception) and any(text in str(error).lower() for text in _OUT_OF_MEMORY)
