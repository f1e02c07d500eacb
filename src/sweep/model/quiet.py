"""Loading without the libraries' progress bars and reports; what they would report is checked by the caller."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_UNWANTED = {
    "transformers.modeling_utils": "LOAD REPORT",  # weights missing from the checkpoint, or not needed
    "bitsandbytes.backends.cpu.ops": "kernels-community",  # an optional faster kernel
}
_UNWANTED_WARNING = ".*is_gradient_checkpointing.*"  # PEFT asks transformers by a name of the past


@contextmanager
def quiet(bars: bool = False) -> Iterator[None]:
    """Drop the load report, the hint at optional kernels and, without `bars`, progress bars. Other warnings pass."""
    from transformers.utils import logging as transformers_logging

    restore_bars = not bars and transformers_logging.is_progress_bar_enabled()
    with ExitStack() as stack:
        for name, text in _UNWANTED.items():
            stack.enter_context(_without(logging.getLogger(name), text))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", _UNWANTED_WARNING, FutureWarning)
        if restore_bars:
            stack.callback(transformers_logging.enable_progress_bar)
            transformers_logging.disable_progress_bar()
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
