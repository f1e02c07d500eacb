"""Warnings of the engines, each shown once a process: a study of thirty trials would repeat it
thirty times."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

logged: set[str] = set()  # messages, or what they were about


def warn_once(message: str, *, about: str = "") -> None:
    """Log a warning, unless the same message, or one `about` the same thing, was logged before."""
    known = about or message
    if known not in logged:
        logged.add(known)
        logger.warning(message)
