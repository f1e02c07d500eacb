"""Searched keys as Optuna's distributions."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.config.domains import Choices
from sweep.config.space import Parameter


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return the distribution that Optuna draws a searched key from."""
    match parameter.domain:
        case Choices(values=values):
            return CategoricalDistribution(values)
        case domain if domain.whole:
            return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
        case domain:
            return FloatDistribution(float(domain.low), float(domain.high), log=domain.log, step=domain.step)
