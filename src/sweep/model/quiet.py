"""Loading without the libraries' progress bars and reports; what they would report is checked by the caller."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_REPORTS = ("LOAD REPORT", "kernels-community", "You are using a model of type")
_LOGGERS = ("transformers", "bitsandbytes")


@contextmanager
def quiet() -> Iterator[None]:
    """Drop the load report (missing and unexpected weights), the bars, and the hint at optional kernels.

    Every other warning passes.
    """
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    with ExitStack() as stack:
        for name in _LOGGERS:
            stack.enter_context(_filtered(name))
        stack.enter_context(warnings.catch_warnings())
        transformers_logging.disable_progress_bar()
        try:
            yield
        finally:
            if bars:
                transformers_logging.enable_progress_bar()


@contextmanager
def _filtered(name: str) -> Iterator[None]:
    """A filter on a logger misses what its children log, one on the handlers does not."""
    logger = logging.getLogger(name)
    handlers = logger.handlers or logging.getLogger().handlers
    for handler in handlers:
        handler.addFilter(_wanted)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_wanted)


def _wanted(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in _REPORTS)
