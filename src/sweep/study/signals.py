"""Ctrl-C and SIGTERM: the first finishes the step and keeps everything, a second stops at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from sweep.study.interrupts import SIGNALS, handled


@dataclass(slots=True)
class StopFlag:
    """`raised` by the first signal, `at_once` by the second: from then on nothing waits for a server."""

    raised: bool = False
    at_once: bool = False


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """SIGTERM counts as Ctrl-C: it is what Slurm and Kubernetes send before they kill."""
    flag = StopFlag()

    def first(_number: int, _frame: FrameType | None) -> None:
        flag.raised = True
        for number in SIGNALS:
            signal.signal(number, second)

    def second(_number: int, _frame: FrameType | None) -> None:
        flag.at_once = True
        raise KeyboardInterrupt

    with handled(first):
        yield flag
