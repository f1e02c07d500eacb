"""The report of a study that runs: written again after each trial, by a process of its own.

The process watches the run directory, whatever launcher trains the trials, and starts
`python -m sweep.report` at a low priority: drawing takes no time of the study's process and
none of its memory. It also outlives the study's process: one that is killed leaves a report that
says so.

This module runs as a program too, of the standard library alone, so that it takes little memory.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

FIRST = 8.0  # seconds until the first report, which a shorter study does without
EVERY = 30.0  # seconds between the beginnings of two reports, at least
SHARE = 0.05  # of the time of one core that reports take, unless one takes longer than 15 seconds of it
SILENT = 300.0  # seconds after which a report is written again though no trial has ended
_LOOK = 2.0  # seconds between two looks at the run directory
_FREED = 20.0  # seconds that the lock of a killed study may still be held by its own workers
_ENDS = 5.0  # seconds for the process to end after a word
_NICE = 10  # added to the priority: at 19 a busy machine leaves no time at all
_DONE = b"."


@contextmanager
def kept_current(root: Path) -> Iterator[None]:
    """Keep the report of a run directory current within the context.

    After it no process writes the report, so that the caller may. Where the study is stopped at
    once (KeyboardInterrupt), the process stays to write that.
    """
    try:
        watcher = subprocess.Popen(
            [sys.executable, "-I", __file__, str(root), str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError:  # no process or no memory is left: the report is written at the end alone
        yield
        return
    assert watcher.stdin is not None
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        _end(watcher)
        raise
    _end(watcher)


def _end(watcher: subprocess.Popen[bytes]) -> None:
    """End the process, and all that it started."""
    with suppress(OSError, subprocess.TimeoutExpired):  # it was killed, or does not answer
        watcher.communicate(_DONE, timeout=_ENDS)
    with suppress(OSError):
        os.killpg(watcher.pid, signal.SIGKILL)
    watcher.wait()


@dataclass(slots=True)
class Watch:
    """Looks at a run directory, and starts the process that writes its report."""

    root: Path
    first: float = FIRST
    ended: set[str] = field(default_factory=set)  # names of trials that have a record
    seen: object = None
    began: float = field(default_factory=time.monotonic)
    written: float | None = None
    pause: float = EVERY  # seconds until the next report, at least
    computed: float = 0.0  # seconds of computing before the report that is being written
    writer: subprocess.Popen[bytes] | None = None

    def look(self) -> None:
        """Start to write the report where that is due."""
        if self.writer is not None:
            if self.writer.poll() is None:
                return
            self.pause = min(max(EVERY, (_computed() - self.computed) / SHARE), SILENT)
        found, moment = self.standing(), time.monotonic()
        if self.written is None:
            due = moment - self.began >= self.first
        else:
            since = moment - self.written
            due = since >= self.pause and (found != self.seen or since >= SILENT)
        if due:
            self.seen, self.written, self.computed = found, moment, _computed()
            self.write()

    def write(self) -> None:
        """Start a process that writes the report."""
        with suppress(OSError):
            self.writer = subprocess.Popen(
                [sys.executable, "-m", "sweep.report", str(self.root)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def standing(self) -> object:
        """Return what changes when a trial or a later training begins or ends, and when a trial is
        paused or promoted."""
        trials = _names(self.root / "trials")
        self.ended |= {name for name in trials - self.ended if (self.root / "trials" / name / "record.json").exists()}
        paused = {name for name in trials - self.ended if (self.root / "trials" / name / "paused.json").exists()}
        later = [_names(self.root / name) for name in ("confirm", "retrained", "methods", "unfinished", "final")]
        return len(trials), len(self.ended), paused, later

    def stop(self) -> None:
        """End the process that writes the report, if there is one."""
        if self.writer is not None and self.writer.poll() is None:
            self.writer.kill()
            self.writer.wait()

    def after_a_kill(self) -> None:
        """Write the report once the killed study's run directory is free; not where another
        process has taken it up in the meantime."""
        until = time.monotonic() + _FREED
        while _held(self.root):
            if time.monotonic() > until:
                return
            time.sleep(0.2)
        self.write()
        if self.writer is not None:
            self.writer.wait()


def _computed() -> float:
    """Return the seconds of computing of all processes that this one has started and that have
    ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return set()


def _held(root: Path) -> bool:
    """Return whether a process holds the run directory, as `Store.in_use` does."""
    try:
        with (root / ".held").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def main(root: str, parent: int) -> None:
    """Watch a run directory until the process `parent` says on standard input that it is done, or
    has ended without a word."""
    os.nice(_NICE)
    watch = Watch(Path(root))
    while os.getppid() == parent:
        if select.select([0], [], [], _LOOK)[0]:
            said = os.read(0, 1)
            watch.stop()
            if said != _DONE:
                break
            return
        watch.look()
    watch.stop()
    watch.after_a_kill()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
