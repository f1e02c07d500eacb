"""Random values of a search space."""

from __future__ import annotations

from math import exp, log
from random import Random

from sweep.config.domains import Choices, Range
from sweep.config.schema import Scalar


def drawn(domain: Range | Choices, draw: Random) -> Scalar:
    """Return a random value: of a range with its scale, or one of the choices."""
    if isinstance(domain, Choices):
        return draw.choice(domain.values)
    if domain.whole:
        return draw.randint(int(domain.low), int(domain.high))
    if domain.log:
        return exp(draw.uniform(log(domain.low), log(domain.high)))
    return draw.uniform(domain.low, domain.high)
