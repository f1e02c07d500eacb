"""How the numerical libraries are to work. They read it from the environment when torch is loaded."""

from __future__ import annotations

import os

_TOLD = {
    # PyTorch's threads spin while they wait for each other, and on a machine that others use too that is what they
    # mostly do. A short spin costs an idle machine nothing.
    "GOMP_SPINCOUNT": "1000",
    # Else the last bit of a product depends on where in memory its factors lie, and a trial does not repeat its numbers.
    "MKL_CBWR": "AUTO,STRICT",
}


def tell_libraries() -> None:
    """What the user's environment says already stays."""
    for name, value in _TOLD.items():
        os.environ.setdefault(name, value)
