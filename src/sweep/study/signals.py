"""Ctrl-C, SIGTERM and SIGHUP while a study runs: after the first one the step is finished, a
second one stops at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from sweep.study.interrupts import handled


@dataclass(slots=True)
class StopFlag:
    """Flags that signals set:

    `raised` by the first, `at_once` by the second, after which nothing waits for a server.
    """

    raised: bool = False
    at_once: bool = False


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Set the returned flag on Ctrl-C, on SIGTERM, which Slurm and Kubernetes send before they
    kill a process, and on SIGHUP, which the system sends where the terminal is closed. SIGHUP is
    never a second signal: a shell that ends sends it again."""
    flag = StopFlag()

    def came(number: int, _frame: FrameType | None) -> None:
        if not flag.raised:
            flag.raised = True
        elif number != signal.SIGHUP:
            flag.at_once = True
            raise KeyboardInterrupt

    with handled(came):
        yield flag
