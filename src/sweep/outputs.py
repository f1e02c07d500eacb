"""Standard output and standard error, which may end before the program does: their reader goes
away (`… | head`), their terminal is closed, or the disk that holds them is full."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NAMES = ("stdin", "stdout", "stderr")  # by their file descriptors
_PATIENCE = 1000  # milliseconds in which a descriptor that does not wait itself may become ready


@contextmanager
def dropping_unwritable(name: Literal["stdout", "stderr"]) -> Iterator[None]:
    """Drop what the stream does not take within the context, instead of raising an error.

    A stream that is not the process's own, such as one of a test, stays as it is.
    """
    _open_closed()
    before: TextIO = getattr(sys, name)
    if before is not getattr(sys, f"__{name}__"):
        yield
        return
    with suppress(OSError):  # what is left is written later, or dropped at the end
        before.flush()
    within = io.TextIOWrapper(
        io.BufferedWriter(_Dropping(before.fileno(), "w", closefd=False)),
        encoding=before.encoding, errors=before.errors, line_buffering=True,
    )  # fmt: skip
    setattr(sys, name, within)
    try:
        yield
    finally:
        within.flush()
        setattr(sys, name, before)


@contextmanager
def importing() -> Iterator[None]:
    """Write to standard error what libraries print as they are imported within the context:
    standard output is for results. transformers prints a line where WANDB_MODE is `offline`."""
    with redirect_stdout(sys.stderr):
        yield


class _Dropping(io.FileIO):
    """A file that drops what it cannot write. A reader that is slow is waited for, one that has
    stopped reading only once."""

    _reads = True

    def write(self, data: ReadableBuffer, /) -> int:
        written: int | None = None
        with suppress(OSError):
            written = super().write(data)  # None as of a descriptor that does not wait and is not ready
            if written is None and self._reads and self._is_ready():
                written = super().write(data)
            self._reads = written is not None
        return memoryview(data).nbytes if written is None else written

    def _is_ready(self) -> bool:
        polled = select.poll()
        polled.register(self, select.POLLOUT)
        return bool(polled.poll(_PATIENCE))


def escape_unencodable() -> None:
    """Write a letter that the encoding of standard output lacks as an escape, instead of raising
    an error: standard error does so by itself."""
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def unread() -> bool:
    """Return whether nothing reads standard output any more. What is left is then dropped."""
    with suppress(OSError, ValueError):  # no file, as in a notebook
        output = sys.stdout.fileno()
        polled = select.poll()
        polled.register(output, 0)  # errors alone
        if polled.poll(0):
            drop_output()
            return True
    return False


def drop_unwritable() -> None:
    """Drop what is left of standard output where it cannot be written: the interpreter would try
    so at its end, and change the exit code."""
    with suppress(ValueError):  # it is closed
        try:
            sys.stdout.flush()
        except OSError:
            drop_output()


def drop_output() -> None:
    """Drop all that is written to standard output from now on, and what is left of it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _open_closed() -> None:
    """Open the null device as each standard stream that the caller has closed (`2>&-`): the next
    file that is opened would take its place, and its text."""
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
