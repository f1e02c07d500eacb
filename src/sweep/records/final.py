"""The records of the steps after the search: confirmation, retraining, refit, test reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.config.metrics import means_alone
from sweep.config.schema import Config, Scalar
from sweep.records.calibration import Calibration
from sweep.records.cost import Cost
from sweep.records.trial import EvalPoint, Metrics


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """The weights of one group, counted as in `Parameters`."""

    total: int
    trainable: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Parameters:
    """The number of weights of a model, and the bytes that they take in memory.

    A 4-bit tensor counts with the number of weights that it holds. `groups` has the parts of the
    model in the order of the forward pass; they add up to the totals.
    """

    total: int
    trainable: int
    bytes: int
    groups: Mapping[str, ParameterGroup] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A configuration trained again with a fresh seed, to measure the effect of the seed on its
    score.

    `best` is None if the training failed; `failure` then holds the reason.
    """

    number: int
    seed: int
    best: EvalPoint | None
    cost: Cost
    failure: str = ""
    tracker_run: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the best trials, trained again with fresh seeds.

    `mean` is its mean score on validation and `interval` the 95 % interval of that mean (Student's
    t), for at least two scores; `trial_score` is its score in the search. `failed` counts the
    seeds without a score: a candidate with failed seeds ranks below all candidates without.
    """

    number: int
    params: Mapping[str, Scalar]
    trial_score: float
    scores: tuple[float, ...]
    mean: float | None
    interval: tuple[float, float] | None
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Candidates, best mean first; the first one is the winner.

    `optimism` is how much better the search's best trial scored than the mean of its configuration
    over fresh seeds.
    """

    candidates: tuple[Candidate, ...]
    optimism: float | None
    cost: Cost


@dataclass(frozen=True, slots=True)
class RetrainRecord:
    """The winner retrained on the train rows alone, before its refit.

    Fields are as in `FinalRecord`.
    """

    number: int
    trial_evals: tuple[EvalPoint, ...]
    best: EvalPoint
    evals: tuple[EvalPoint, ...]
    cost: Cost
    thresholds: tuple[float, ...] | None
    tuned: Metrics
    tracker_run: str = ""
    as_packed: bool = False
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class Refit:
    """The winner trained once more on the train and validation rows together.

    `rows` is their number. The training runs for `steps` of the `total_steps` of its schedule,
    without an evaluation; its training loss is in `cost`.
    """

    rows: int
    steps: int
    total_steps: int
    cost: Cost
    tracker_run: str = ""


@dataclass(frozen=True, slots=True)
class FinalRecord:
    """The winner, retrained from scratch, and the single reading of the test split.

    `trial_evals` and `retrain_evals` are the same evaluations, of the trial and of its retraining.
    `baseline` is the zero-rule classifier (the majority class; for multi-label the most frequent
    value of each label) fitted on train and scored on test and validation, keyed like the metrics;
    `train_shares` holds the share of train rows that have each label. `confusion[i][j]` counts
    rows of true label i predicted as j, or, for multi-label, holds one flat row [TN, FP, FN, TP] a
    label. `test_readings` is above 1 only if more trials, fresh seeds or a refit changed what was
    tested after a first reading, or if the result of a reading was lost. `before` holds the scores
    of the model before fine-tuning, if it can classify (label words), keyed like `baseline`.
    `thresholds`, one a label, are those of `test` and `confusion` in a multi-label task; if they
    were tuned, `untuned` holds the test metrics at 0.5 and `tuned` the validation metrics at the
    thresholds, which were fitted to these rows.

    `out_of_fold` is as `confusion`, of the train rows that folds scored, each by the fold that did
    not see it, decided as the test rows are; it is empty without folds. There `thresholds` and
    `calibration` are fitted to these rows, and `tuned` holds means over the folds.

    `as_packed`: dropout used the random masks that the trial had in a pack.

    With a `calibration` the scores of the test split, and those that `thresholds` and `tuned` are
    of, are divided by its temperature; no other score is.

    With a `refit` the refitted model was tested and kept: `test`, `test_seconds`, `confusion`,
    `untuned`, and what `calibration` says of the test split, belong to it. All other fields,
    `thresholds` and `cost` included, belong to the model that was trained on the train rows alone.
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
    calibration: Calibration | None = None
    out_of_fold: tuple[tuple[int, ...], ...] = ()

    @property
    def validation(self) -> Metrics:
        """Return the validation scores that chose the winner's epoch: those of the retraining, or
        with folds, of which the retraining repeats the first, the trial's means."""
        folds = self.config.dataset.folds is not None
        return means_alone(self.trial_best.metrics) if folds else self.retrain_best.metrics

    @property
    def retraining(self) -> RetrainRecord:
        """Return the part of the record that belongs to the retraining."""
        return RetrainRecord(
            number=self.number, trial_evals=self.trial_evals, best=self.retrain_best, evals=self.retrain_evals,
            cost=self.cost, thresholds=self.thresholds, tuned=self.tuned, tracker_run=self.tracker_run,
            as_packed=self.as_packed, calibration=self.calibration,
        )  # fmt: skip

    @property
    def costs(self) -> tuple[Cost, ...]:
        """Return the cost of the retraining, and of the refit if there was one."""
        return (self.cost, self.refit.cost) if self.refit else (self.cost,)
