"""Ctrl-C and SIGTERM before a study runs: they end the program with one line and exit code 130, whatever it is doing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType

from sweep.errors import STOPPED_AT_ONCE

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_MOMENT = 0.05  # seconds


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within the context, `handler` takes both signals; then what took them before does so again."""
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


@contextmanager
def as_one_error() -> Iterator[None]:
    """A signal within the context ends in KeyboardInterrupt, whatever else the code in it raises then: libraries whose native
    modules are interrupted while they are imported raise errors of their own."""
    came = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    with handled(stop), _none_swallowed():
        try:
            yield
        except BaseException:
            if came:
                raise KeyboardInterrupt from None
            raise


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
    """A signal within the context ends the process. For imports alone, where nothing else is under way: some libraries catch
    what is raised while they are imported, and go on without a part of themselves."""

    def end(_number: int, _frame: FrameType | None) -> None:
        sys.stdout.flush()
        os.write(sys.stderr.fileno(), f"{STOPPED_AT_ONCE}\n".encode())
        os._exit(130)

    with handled(end):
        yield
