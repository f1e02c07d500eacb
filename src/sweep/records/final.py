"""The records of what follows the search: confirmation, retraining, refit and the test reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.config.schema import Config, Scalar
from sweep.records.trial import (
    Cost,
    EvalPoint,
    Metrics,
)


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    total: int
    trainable: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counted as numbers of weights, a packed 4-bit tensor by what it stands for; `bytes` is what they take in memory.
    Groups are named by what the weights are for, in the order of the forward pass, and add up to the whole."""

    total: int
    trainable: int
    bytes: int
    groups: Mapping[str, ParameterGroup] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A configuration trained again with a fresh seed, to see how much of its score was luck. `best` is None where it
    failed, for the reason that `failure` gives."""

    number: int
    seed: int
    best: EvalPoint | None
    cost: Cost
    failure: str = ""
    tracker_run: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the best trials over fresh seeds: its mean score on validation, with a 95 % interval of that mean
    (Student's t) where there are at least two; `trial_score` is what the search saw. Seeds that `failed` have no score:
    a candidate that has any stands behind all that have none."""

    number: int
    params: Mapping[str, Scalar]
    trial_score: float
    scores: tuple[float, ...]
    mean: float | None
    interval: tuple[float, float] | None
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Candidates, best mean first; the first one is the winner. `optimism` is how much better the search's single
    best trial scored than the same configuration does on average with fresh seeds."""

    candidates: tuple[Candidate, ...]
    optimism: float | None
    cost: Cost


@dataclass(frozen=True, slots=True)
class RetrainRecord:
    """The winner retrained on the train rows alone, kept for the refit that goes by it; fields are as in `FinalRecord`."""

    number: int
    trial_evals: tuple[EvalPoint, ...]
    best: EvalPoint
    evals: tuple[EvalPoint, ...]
    cost: Cost
    thresholds: tuple[float, ...] | None
    tuned: Metrics
    tracker_run: str = ""
    as_packed: bool = False


@dataclass(frozen=True, slots=True)
class Refit:
    """The winner trained once more, on train and validation rows together (`rows` of them), for `steps` of the
    `total_steps` of its schedule. It is never evaluated on validation; its training loss is in `cost`."""

    rows: int
    steps: int
    total_steps: int
    cost: Cost
    tracker_run: str = ""


@dataclass(frozen=True, slots=True)
class FinalRecord:
    """The winner, retrained from scratch, and the test split's single reading.

    `trial_evals` and `retrain_evals` are the same evaluations measured twice. `baseline` is the zero-rule classifier
    (the majority class; for multi-label the most frequent value of each label) fitted on train and scored on test and
    validation, keyed like the metrics; `train_shares` holds the share of train rows that have each label.
    `confusion[i][j]` counts rows of true label i predicted as j, or, for multi-label, holds one flat row
    [TN, FP, FN, TP] a label. `test_readings` is above 1 only if more trials, fresh seeds or a refit changed what was
    tested after a first reading, or what was read was lost. `before` is the model before fine-tuning, where it can
    classify (label words), keyed like `baseline`. `thresholds`, one a label, are those that `test` and `confusion` were
    decided with in a multi-label task; where they were tuned, `untuned` holds the test metrics at 0.5 and `tuned` the
    validation metrics at the thresholds, which were chosen to make those good.

    `as_packed`: the retraining dropped the values that the trial had dropped in a pack.

    With a `refit` that model was tested and kept: `test`, `test_seconds`, `confusion` and `untuned` are its own. All else
    is still of the model that was trained on the train rows alone, the thresholds and `cost` among it.
    """

    number: int
    params: Mapping[str, Scalar]
    command: str
    trial_best: EvalPoint
    retrain_best: EvalPoint
    trial_evals: tuple[EvalPoint, ...]
    retrain_evals: tuple[EvalPoint, ...]
    test: Metrics
    test_seconds: float
    test_rows: int
    baseline: Metrics
    cost: Cost
    parameters: Parameters
    label_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    config: Config
    tracker_run: str = ""
    test_readings: int = 1
    before: Metrics = field(default_factory=dict)
    thresholds: tuple[float, ...] | None = None
    tuned: Metrics = field(default_factory=dict)
    untuned: Metrics = field(default_factory=dict)
    confirmation: Confirmation | None = None
    refit: Refit | None = None
    train_shares: tuple[float, ...] = ()
    as_packed: bool = False

    @property
    def retraining(self) -> RetrainRecord:
        return RetrainRecord(
            number=self.number, trial_evals=self.trial_evals, best=self.retrain_best, evals=self.retrain_evals,
            cost=self.cost, thresholds=self.thresholds, tuned=self.tuned, tracker_run=self.tracker_run,
            as_packed=self.as_packed,
        )  # fmt: skip

    @property
    def costs(self) -> tuple[Cost, ...]:
        """Of the retraining, and of the refit where there was one."""
        return (self.cost, self.refit.cost) if self.refit else (self.cost,)
