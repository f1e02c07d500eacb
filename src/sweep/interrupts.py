"""Ctrl-C and SIGTERM before a study runs: one line and exit code 130, whatever they come in the middle of."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType

from sweep.errors import STOPPED_AT_ONCE

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MOMENT = 0.05  # seconds


@contextmanager
def as_one_error() -> Iterator[None]:
    """Whatever a signal turns the body's work into ends as KeyboardInterrupt: where it comes in the middle of a native
    module's import, libraries raise errors of their own."""
    came = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        with _none_swallowed():
            yield
    except BaseException:
        if came:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _none_swallowed() -> Iterator[None]:
    """A signal that comes while Python lets go of an object is raised there, and is lost: it is sent again a moment later."""
    usual = sys.unraisablehook

    def send() -> None:
        if sys.unraisablehook is lost:
            os.kill(os.getpid(), signal.SIGINT)

    def lost(found: sys.UnraisableHookArgs) -> None:
        if issubclass(found.exc_type, KeyboardInterrupt):
            again = Timer(_MOMENT, send)
            again.daemon = True
            again.start()
        else:
            usual(found)

    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = usual


@contextmanager
def at_once() -> Iterator[None]:
    """While modules are imported, and nothing else is under way, a signal ends the process: some libraries swallow what
    is raised then and go on without a part of themselves."""

    def end(_number: int, _frame: FrameType | None) -> None:
        sys.stdout.flush()
        os.write(sys.stderr.fileno(), f"{STOPPED_AT_ONCE}\n".encode())
        os._exit(130)

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
