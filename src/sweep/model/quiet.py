"""Loading without the libraries' progress bars and reports. The caller checks what they would
report."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_REPORT = "LOAD REPORT"  # weights that the checkpoint lacks or has too many
_UNWANTED_WARNINGS = (
    ".*gradient_checkpointing.* is deprecated",  # the name that transformers 5.0 and PEFT know it by
    ".*initialization used with low_cpu_mem_usage=False",  # EVA sets these weights right after
)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop the load report and progress bars. Other warnings pass."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    with ExitStack() as stack:
        stack.enter_context(_without(logging.getLogger("transformers.modeling_utils"), _REPORT))
        stack.enter_context(warnings.catch_warnings())
        for message in _UNWANTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        if bars:
            stack.callback(transformers_logging.enable_progress_bar)
            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        yield


@contextmanager
def _without(logger: logging.Logger, text: str) -> Iterator[None]:
    def wanted(record: logging.LogRecord) -> bool:
        return text not in record.getMessage()

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
