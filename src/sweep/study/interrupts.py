"""Ctrl-C, SIGTERM and SIGHUP before a study runs: they end the program at once, with one line and
exit code 130."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from types import FrameType

from sweep.errors import STOPPED_AT_ONCE

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RESEND_AFTER = 0.05  # seconds


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals that stop the program with `handler` within the context, and restore the
    former handlers after it. SIGHUP, which comes where a terminal is closed, stays ignored where
    the caller ignores it (`nohup`)."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [number for number in _SIGNALS if not (ignored and number == signal.SIGHUP)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


@contextmanager
def as_one_error() -> Iterator[None]:
    """Turn a signal within the context into KeyboardInterrupt, whatever the code raises because of
    it.

    Libraries whose native modules are interrupted during import raise errors of their own.
    """
    came = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    with handled(stop), _none_swallowed():
        try:
            yield
        except BaseException as error:
            told = isinstance(error, SystemExit) and error.code == 130  # a command within said so
            if came and not told:
                raise KeyboardInterrupt from None
            raise


@contextmanager
def _none_swallowed() -> Iterator[None]:
    """Send a signal again if Python lost it: an exception that is raised while an object is
    deleted is not passed on."""
    usual = sys.unraisablehook

    def send() -> None:
        if sys.unraisablehook is lost:
            os.kill(os.getpid(), signal.SIGINT)

    def lost(found: sys.UnraisableHookArgs) -> None:
        if issubclass(found.exc_type, KeyboardInterrupt):
            again = Timer(_RESEND_AFTER, send)
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
    """End the process on a signal within the context.

    For imports alone: some libraries catch an exception during import and go on with a part of
    themselves missing.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):  # the terminal may be gone
            sys.stdout.flush()
            os.write(sys.stderr.fileno(), f"{STOPPED_AT_ONCE}\n".encode())
        os._exit(130)

    with handled(end):
        yield
