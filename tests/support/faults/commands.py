"""A command on a finished run directory that is killed again and again, and then ends."""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.faults.journal import Journal, Sent
from support.faults.processes import Family, Kind, send
from support.faults.program import MARK, Starter
from support.faults.stages import Stage

_HANG = 240.0
_SHORTEST = 0.05  # seconds from the start to a kill


@dataclass(slots=True)
class KilledCommand:
    """A command with these arguments, `seconds` long. `holds` says what is wrong after a kill."""

    arguments: Sequence[str]
    folder: Path
    starter: Starter
    journal: Journal
    seconds: float
    holds: Callable[[], Sequence[str]] = tuple
    finished: Callable[[], bool] = bool  # whether the result is there, which the command does not replace
    faults: list[str] = field(default_factory=list)

    def run(self, *, seed: int, count: int) -> None:
        """Kill the command `count` times, at moments that lie closer together at its end, and let
        it end."""
        draw, began = random.Random(seed), time.monotonic()
        for _ in range(count):
            left = math.exp(draw.uniform(math.log(0.01), math.log(self.seconds)))  # to the usual end
            self._start(max(self.seconds - left, _SHORTEST))
        if not self.finished():
            self._start(None)
        self.journal.write_end(starts=count + 1, seconds=time.monotonic() - began, faults=self.faults)

    def _start(self, delay: float | None) -> None:
        family = Family(f"{self.folder.name}-{time.monotonic_ns()}")
        log = self.folder / "output.txt"
        started = self.starter.start(self.arguments, log=log, environment={MARK: family.mark})
        family.roots.add(started.pid)
        code = started.wait(_HANG if delay is None else delay)
        if delay is not None and code is None:
            family.living()
            send([started.pid], signal.SIGKILL)
            detail = f"SIGKILL to sweep {self.arguments[0]}, {delay:.3f} s after its start"
            at = time.strftime("%H:%M:%S")
            self.journal.write_sent(Sent(at, str(Kind.COORDINATOR), signal.SIGKILL.name, str(Stage.AFTER), detail))
            code = started.wait(_HANG)
        elif code != 0:
            self.faults.append(f"ended with code {code}: {log.read_text(errors='replace')[-600:]}")
        self.faults += [f"a process is left: {line}" for line in family.left_over(within=30)]
        self.faults += self.holds()
