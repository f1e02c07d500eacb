"""The record of a calibration: a temperature, and the fit of probabilities before and after."""

from __future__ import annotations

from dataclasses import dataclass

LEAST, MOST = 0.01, 100.0  # temperatures between which one is looked for
_NEAR = 1e-3  # of a limit, relative: the search for the best one stops beside it


@dataclass(frozen=True, slots=True)
class Bin:
    """The predictions whose probability lies in one part of 0 to 1: their number, their mean
    probability, and the share of them that came true."""

    count: int
    probability: float
    share: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """The agreement of probabilities with the truth: the mean negative log-likelihood, the
    expected calibration error, and the bins of that error that are not empty, the lowest first."""

    loss: float
    ece: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature, by which the scores of a model are divided, fitted on so many validation
    `rows`.

    `before` is of the validation rows without the temperature. `after` is of the same rows, each
    with a temperature that was fitted without it (cross-fitting in `folds` parts; with 1 the rows
    were too few, and `after` is of the rows of the fit). `test_before` and `test_after` are of the
    test rows without and with `temperature`, None before the test reading. `stopped_at` is the
    limit (`LEAST` or `MOST`) at which the temperature stopped without having fitted best; None
    where it fitted best, and in older records.
    """

    temperature: float
    rows: int
    folds: int
    before: Reliability
    after: Reliability
    test_before: Reliability | None = None
    test_after: Reliability | None = None
    stopped_at: float | None = None


def limit_reached(temperature: float) -> float | None:
    """Return the limit at which the search for a temperature stopped; None where it found one."""
    return next((limit for limit in (LEAST, MOST) if abs(temperature / limit - 1) < _NEAR), None)
