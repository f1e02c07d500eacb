"""Environment variables that the numerical libraries read when torch is loaded."""

from __future__ import annotations

import os

_VARIABLES = {
    # PyTorch's threads spin while they wait for each other; on a machine with other load that
    # takes most of their time. A short spin costs an idle machine nothing.
    "GOMP_SPINCOUNT": "1000",
    # Otherwise the last bit of a product depends on the memory addresses of its factors, and a
    # trial does not repeat its numbers.
    "MKL_CBWR": "AUTO,STRICT",
}


def tell_libraries() -> None:
    """Set the variables that the user's environment does not set."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
