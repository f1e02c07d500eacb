"""The launcher of a plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sweep.launch.inline import Inline
from sweep.launch.launcher import Launcher
from sweep.launch.worker import MakeEngine
from sweep.plan.plan import Plan


@contextmanager
def launched(
    plan: Plan, *, say: Callable[[str], None] | None = None, make_engine: MakeEngine | None = None
) -> Iterator[Launcher]:
    """Start the place where the plan's trials run, and end it at the end. `say` prints a line;
    `make_engine` replaces the engine of workers.

    Ray is imported only for the launchers that use it. Raises UserError where it cannot be started
    or joined.
    """
    if plan.config.launcher.name == "inline":
        yield Inline.of(plan)
        return
    from sweep.launch.remote import launched_remotely

    with launched_remotely(plan, say or _to_standard_error, make_engine) as remote:
        yield remote


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr)
