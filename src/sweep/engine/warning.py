"""Warnings of the engines, each shown once a process: a study of thirty trials would repeat it
thirty times."""

from __future__ import annotations

import logging
from functools import cache

logger = logging.getLogger(__name__)


@cache
def warn_once(message: str) -> None:
    """Log a warning, unless the same message was logged before."""
    logger.warning(message)
