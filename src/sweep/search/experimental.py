"""Optuna's warnings about samplers and pruners that it calls experimental."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import ExperimentalWarning


@contextmanager
def experimental_allowed() -> Iterator[None]:
    """Ignore Optuna's warnings about experimental classes.

    The classes that the config offers have been stable for years.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
