"""The record of a calibration: a temperature, and the fit of probabilities before and after."""

from __future__ import annotations

from dataclasses import dataclass


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
    test rows without and with `temperature`, None before the test reading.
    """

    temperature: float
    rows: int
    folds: int
    before: Reliability
    after: Reliability
    test_before: Reliability | None = None
    test_after: Reliability | None = None
