"""The faults of one command line, collected so that one message can name them all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sweep.config.parse import Origin
from sweep.errors import Fault


@dataclass(slots=True)
class FaultList:
    """Faults in the order in which they were found.

    `origin` returns the place where the user set a key.
    """

    origin: Origin
    found: list[Fault] = field(default_factory=list)

    def add(self, faults: Iterable[Fault]) -> None:
        """Add faults. One without an origin gets that of its key."""
        self.found += [replace(fault, origin=fault.origin or self.origin(fault.path)) for fault in faults]

    def add_new(self, faults: Iterable[Fault]) -> None:
        """Add the faults of keys that have none so far.

        A key with a fault was checked with a default for its value.
        """
        known = {fault.path for fault in self.found}
        self.add(fault for fault in faults if fault.path not in known)

    def concern(self, *prefixes: str) -> bool:
        """Return whether a fault is of a key that begins with one of `prefixes`."""
        return any(fault.path.startswith(prefixes) for fault in self.found)

    def __bool__(self) -> bool:
        return bool(self.found)
