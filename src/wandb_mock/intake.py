"""The limits of the server: it takes requests of clients on this machine, with bodies of a bounded
size."""

from __future__ import annotations

import zlib
from email.message import Message
from urllib.parse import urlsplit

# Bytes of one message, packed or not; the client sends less than 10 MiB at once.
LARGEST = 64 << 20

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class TooLargeError(Exception):
    """A body has more than `LARGEST` bytes."""


def foreign(method: str, headers: Message) -> str:
    """Return why a request is refused; empty where it is not.

    The port in `Host` does not matter, since a tunnel has its own. A page of another origin may
    link to the server, and may not write to it.
    """
    host, origin, site = headers.get("Host", ""), headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if _hostname(f"//{host}") not in _LOOPBACK:
        return "this server answers to 127.0.0.1 and localhost alone"
    elsewhere = (origin is not None and origin != f"http://{host}") or site in ("cross-site", "same-site")
    return "this server takes nothing from pages of other origins" if elsewhere and method != "GET" else ""


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def unpacked(body: bytes) -> bytes:
    """Return the unpacked body of a gzip request. Raises TooLargeError as soon as it is too
    large, and zlib.error."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    found = unpacker.decompress(body, LARGEST + 1)
    if len(found) > LARGEST:
        raise TooLargeError
    if not unpacker.eof:
        raise zlib.error("the body is cut off")
    return found
