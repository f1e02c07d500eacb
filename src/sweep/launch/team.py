"""The protocol between the coordinator and its workers, wherever they run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sweep.launch.messages import Batch, Reply, Saved
from sweep.launch.workspace import Facts


@dataclass(eq=False, slots=True)
class Member:
    """A worker that is there. `leaving` says that it takes no further order."""

    name: str
    facts: Facts
    memory: int = 0  # bytes that its trials take
    leaving: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker has come, and takes orders."""

    member: Member


@dataclass(frozen=True, slots=True)
class Heard:
    """A worker has answered, with the messages that it had to send."""

    member: Member
    batch: Batch


@dataclass(frozen=True, slots=True)
class Brought:
    """A snapshot has come whose bytes were sent apart from the batch that names it."""

    member: Member
    message: Saved


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone, with the trials that it held."""

    member: Member
    why: str


@dataclass(frozen=True, slots=True)
class Severed:
    """The connection to the cluster is lost: no worker can be reached any more."""

    why: str


Event = Joined | Heard | Brought | Lost | Severed


class Team(Protocol):
    """The workers. One `send` is answered by one `Heard`, or by `Lost`."""

    @property
    def members(self) -> list[Member]:
        """Return the workers that are there, in the order in which they came."""

    @property
    def expected(self) -> int:
        """Return the number of workers that are there or about to come."""

    def workers_on_host(self, member: Member) -> int:
        """Return the number of workers that the host of a worker has or may come to have, itself
        included."""

    def send(self, member: Member, reply: Reply) -> None:
        """Send a reply to a worker; `events` brings what it says to it."""

    def events(self, timeout: float) -> list[Event]:
        """Return what has happened, after at most so many seconds. Raises UserError where no
        worker is there and none came for `launcher.wait` seconds."""

    def release(self, member: Member) -> None:
        """Let go of a worker that leaves."""
