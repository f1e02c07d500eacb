"""A check that the head of a Ray cluster listens at an address.

Ray itself tries for a quarter of an hour to talk to a server of another kind.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from sweep.config.schema import Config
from sweep.errors import Fault, UserError

NO_HEAD = (
    "but what listens there is no head of a Ray cluster: its port is that of ray start --head --port=PORT, or 6379"
)

_CONNECTED = 5.0  # seconds
_ANSWERED = 20.0  # seconds: a busy machine takes some
# What a client of HTTP/2, and thus of gRPC, begins with: RFC 9113, section 3.4, and empty settings.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_FRAME = 9  # bytes of the head of a frame of HTTP/2
_SETTINGS = 4  # the kind of frame that a server begins with


def head_faults(config: Config) -> list[Fault]:
    """Return the fault of `launcher.address` where no head of a Ray cluster listens there."""
    if config.launcher.name != "ray":
        return []
    try:
        check_head(str(config.launcher.address))
    except UserError as error:
        return [*error.faults]
    return []


def check_head(address: str, *, seconds: float = _ANSWERED) -> None:
    """Raise UserError where nothing listens at HOST:PORT, or a server that does not speak gRPC and
    so is no head. It may take so many seconds to answer."""
    host, _, port = address.rpartition(":")
    try:
        connection = socket.create_connection((host, int(port)), timeout=_CONNECTED)
    except (OSError, UnicodeError) as error:  # a name that DNS does not allow
        rule = f"is {address}, but nothing answers there: {getattr(error, 'strerror', None) or error}"
        raise UserError.of("launcher.address", f"{rule}; start the head with: ray start --head --port={port}") from None
    with connection:
        if not (_encrypted() or _speaks_grpc(connection, seconds)):
            raise UserError.of("launcher.address", f"is {address}, {NO_HEAD}")


def _encrypted() -> bool:
    """Return whether Ray's own variable makes it speak TLS, which is not spoken here."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _speaks_grpc(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    found = b""
    with suppress(OSError):
        connection.sendall(_HELLO)
        while len(found) < _FRAME and (more := connection.recv(_FRAME - len(found))):
            found += more
    return len(found) == _FRAME and found[3] == _SETTINGS
