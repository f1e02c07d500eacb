"""The place of a worker on a node, and the actor that was placed there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from sweep.launch.team import Member

Place = tuple[str, int]  # the id of a node, and a number


@dataclass(eq=False, slots=True)
class Placement:
    """An actor that was placed on a node. It is a `member` of the team once it has answered its
    first call, `greet`."""

    actor: Any
    place: Place
    host: str
    since: float
    member: Member | None = None
    started: bool = False  # its process runs
    called: float = field(default_factory=time.monotonic)  # when it was last asked whether it lives
