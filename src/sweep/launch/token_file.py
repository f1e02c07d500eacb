"""The file with the token of Ray's clusters, which Ray makes where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def token_for_user_alone() -> Iterator[None]:
    """Let nobody but the user read a token that Ray makes within the context: with it one can run
    code as the user, and Ray gives the file the usual rights. A file that is there is left as it
    is."""
    made = _made_here()
    yield
    if made is not None:
        with suppress(OSError):
            made.chmod(0o600)


def _made_here() -> Path | None:
    """Return the file that Ray will make, in a folder of the user alone; None where it is there,
    or cannot be made."""
    try:
        file = Path.home() / ".ray" / "auth_token"
        file.parent.mkdir(mode=0o700, exist_ok=True)
        return None if file.exists() else file
    except (OSError, RuntimeError):  # a home that cannot be written to, or none: Ray says so
        return None
