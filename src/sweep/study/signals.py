"""Ctrl-C and SIGTERM while a study runs: after the first one the step is finished, a second one
stops at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from sweep.study.interrupts import SIGNALS, handled


@dataclass(slots=True)
class StopFlag:
    """Flags that signals set:

    `raised` by the first, `at_once` by the second, after which nothing waits for a server.
    """

    raised: bool = False
    at_once: bool = False


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Set the returned flag on Ctrl-C and on SIGTERM, which Slurm and Kubernetes send before they
    kill a process."""
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
