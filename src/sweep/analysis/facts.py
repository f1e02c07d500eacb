"""Everything that an analysis is made of, read once from a run directory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sweep.analysis.guessing import ResampledTest, coded, recorded, resample_test
from sweep.analysis.predictions import Prediction, read_predictions
from sweep.config.domains import Choices, Range
from sweep.config.metrics import proportion
from sweep.config.schema import Config, Scalar, StudyConfig, Task, TrainerConfig
from sweep.records.cost import Cost, total
from sweep.records.final import Confirmation, FinalRecord
from sweep.records.lock import Lock
from sweep.records.marks import UnfinishedState
from sweep.records.spent import Spent, read_spent
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Failed, Pruned, Step, TrialRecord, ranked
from sweep.records.warm_start import WarmRun, read_warm_start
from sweep.records.winner import read_lock
from sweep.track.addresses import WANDB, without


@dataclass(frozen=True, slots=True)
class Point:
    """An evaluation, and the mean of the training losses logged since the evaluation before it."""

    eval: EvalPoint
    train_loss: float | None

    def metric(self, name: str) -> float | None:
        return self.eval.metrics.get(name)


@dataclass(frozen=True, slots=True)
class Facts:
    """The records of a run directory, with what follows from them directly. `points` are the
    evaluations of each trial, `training` its logged steps. Trials without a record were
    `put_away`, are `paused`, or are `unfinished`: running, or killed; `begun` has their
    evaluations."""

    lock: Lock
    trials: tuple[TrialRecord, ...]
    training: Mapping[int, tuple[Step, ...]]
    points: Mapping[int, tuple[Point, ...]]
    unfinished: tuple[int, ...]
    final: FinalRecord | None
    finals: tuple[FinalRecord, ...]  # `final`, and in a group run those of the other choices
    retrained: tuple[Point, ...]
    predictions: tuple[Prediction, ...]
    resampled_test: ResampledTest | None = None
    begun: Mapping[int, tuple[Point, ...]] = field(default_factory=dict)
    used_up: Spent | None = None  # by the searches, as far as that was noted
    put_away: tuple[int, ...] = ()
    paused_records: tuple[TrialRecord, ...] = ()  # of the paused trials, as they would end now
    promotions: Mapping[int, int] = field(default_factory=dict)  # of each trial that was ever paused
    running: bool = False  # whether a process trains the study now
    warm_start: tuple[WarmRun, ...] = ()  # what was taken over from other studies
    out_of_fold: tuple[Prediction, ...] = ()  # train rows, each by the fold that did not see it

    @property
    def config(self) -> Config:
        return self.lock.config

    @property
    def study(self) -> StudyConfig:
        return self.lock.config.study

    @property
    def metric(self) -> str:
        return self.study.metric

    @property
    def maximize(self) -> bool:
        return self.study.direction == "maximize"

    @property
    def multi_label(self) -> bool:
        return self.config.dataset.task == "multi_label"

    @property
    def proportion(self) -> str:
        """Return the metric of the task that is a share of rows."""
        return proportion(self.config.dataset.task)

    @property
    def name(self) -> str:
        return self.config.title or self.study.study_name

    @property
    def searched(self) -> tuple[str, ...]:
        """Return the searched keys: those of the search space, then any that only trials have."""
        extra = (key for trial in self.trials for key in trial.params)
        return tuple(dict.fromkeys([*self.lock.space, *extra]))

    @property
    def completed(self) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in self.trials if isinstance(trial.outcome, Completed))

    @property
    def best(self) -> TrialRecord | None:
        """Return the completed trial with the best score, as `records.ranked` orders them."""
        return next(iter(ranked(self.trials, self.study.objective)), None)

    @property
    def winner(self) -> TrialRecord | None:
        """Return the trial that was retrained; before that, the best one so far."""
        if self.final is None:
            return self.best
        return next((trial for trial in self.trials if trial.number == self.final.number), None)

    @property
    def repeats(self) -> tuple[Confirmation, ...]:
        """Return the records of fresh seeds; in a group run those of each choice."""
        return tuple(one.confirmation for one in self.finals if one.confirmation)

    @property
    def paused(self) -> tuple[int, ...]:
        return tuple(trial.number for trial in self.paused_records)

    @property
    def trained(self) -> tuple[TrialRecord, ...]:
        """Return the trials whose cost is known, by number: those that have ended, and those that
        are paused."""
        return tuple(sorted((*self.trials, *self.paused_records), key=lambda trial: trial.number))

    @property
    def spent(self) -> Cost:
        """Return the cost of all trials (`trained`), fresh seeds, retrainings and refits."""
        trials = [trial.outcome.cost for trial in self.trained]
        at_the_end = (cost for one in self.finals for cost in one.costs)
        return total([*trials, *(one.cost for one in self.repeats), *at_the_end])

    @property
    def alone(self) -> bool:
        """Return whether the study is one training, without a search."""
        return len(self.trials) == 1 and self.study.n_trials == 1

    @property
    def wanted(self) -> int:
        """Return `study.n_trials`, or the number of points of a smaller grid."""
        return int(min(self.study.n_trials, self.grid_size))

    @property
    def grid_size(self) -> float:
        """Return the number of points of the grid; infinite where the study walks none."""
        return _grid_size(self.lock.space) if self.study.sampler == "grid" else math.inf

    def plain_loss(self, params: Mapping[str, Scalar]) -> bool:
        """Return whether a trial at `params` trained with a loss that weighs all rows and labels
        alike and does not smooth them, so that it compares with `eval/loss`."""
        trainer, plain = self.config.trainer, TrainerConfig()
        keys = ("class_weights", "focal_gamma", "logit_adjustment_tau", "label_smoothing_factor")
        return all(params.get(f"trainer.{key}", getattr(trainer, key)) == getattr(plain, key) for key in keys)

    def mark(self, trial: TrialRecord) -> str:
        """Return the mark of a trial: empty, `winner`, `best so far` or `best in the search`."""
        if trial is self.winner:
            return "winner" if self.final else "best so far"
        return "best in the search" if trial is self.best else ""

    def best_eval(self, trial: TrialRecord) -> EvalPoint | None:
        """Return the best finite evaluation, of a pruned or failed trial too."""
        if isinstance(trial.outcome, Completed):
            return trial.outcome.best
        evals = (point.eval for point in self.points[trial.number])
        return self.study.objective.best(evals, lambda point: point.metrics)

    def score(self, trial: TrialRecord) -> float | None:
        found = self.best_eval(trial)
        return None if found is None else found.metrics.get(self.metric)

    def run_address(self, recorded: str) -> str:
        """Return a recorded address of a run, without the mock server's: it has ended with the
        study."""
        tracker = self.config.tracker
        return without(recorded, WANDB) if "mock" in (tracker.name, *tracker.also) else recorded

    def title(self, key: str) -> str:
        """Return the last part of a config key; the whole key where another searched key ends
        alike."""
        last = key.rpartition(".")[2]
        return key if sum(other.rpartition(".")[2] == last for other in self.searched) > 1 else last


def read(store: Store, *, running: bool | None = None) -> Facts:
    """Return all that the analysis of a run directory is made of, read from its records. `running`
    says whether its study is running; None finds out whether a process holds the directory.

    Raises UserError where `store` is no run directory.
    """
    lock, trials = read_lock(store), tuple(store.trials())
    final, task = store.final(), lock.config.dataset.task
    predictions = read_predictions(store.final_dir / "predictions.csv", task)
    events = {trial.number: store.events(trial.number) for trial in trials}
    training = {number: _logged(rows) for number, rows in events.items()}
    points = {trial.number: _points(_evals(trial, events[trial.number]), training[trial.number]) for trial in trials}
    begun = _begun_trials(store, events)
    paused = {record.number: record for record in store.paused_trials()}
    stopped = (number for number in begun if store.marks(number).state() is not UnfinishedState.KILLED)
    put_away = tuple(number for number in stopped if number not in paused)
    return Facts(
        lock=lock,
        trials=trials,
        training=training,
        points=points,
        unfinished=tuple(number for number in begun if number not in put_away and number not in paused),
        final=final,
        finals=tuple(store.finals().values()),
        retrained=_points(final.retrain_evals, _logged(store.final_events())) if final else (),
        predictions=predictions,
        resampled_test=read_resampled_test(task, final, predictions) if final else None,
        begun={number: _begun(store.events(number)) for number in begun},
        put_away=put_away,
        paused_records=tuple(paused.values()),
        promotions={one.number: one.promotions for one in (*trials, *paused.values()) if one.pauses},
        used_up=read_spent(store.root),
        running=store.in_use() if running is None else running,
        warm_start=read_warm_start(store.root),
        out_of_fold=read_predictions(store.final_dir / "out_of_fold.csv", task),
    )


def _grid_size(space: Mapping[str, Any]) -> float:
    """Return the number of points of a grid over a lock's search space."""
    domains = (
        Choices(tuple(entry["choices"])) if "choices" in entry
        else Range(entry["low"], entry["high"], bool(entry.get("log")), entry.get("step"))
        for entry in space.values()
    )  # fmt: skip
    return math.prod(domain.count() or 1 for domain in domains)


def _evals(trial: TrialRecord, events: list[Step | EvalPoint]) -> tuple[EvalPoint, ...]:
    match trial.outcome:
        case Completed(evals=evals) | Pruned(evals=evals) | Failed(evals=evals):
            return evals or tuple(row for row in events if isinstance(row, EvalPoint))


def _begun(events: list[Step | EvalPoint]) -> tuple[Point, ...]:
    return _points(tuple(row for row in events if isinstance(row, EvalPoint)), _logged(events))


def _logged(rows: list[Step | EvalPoint]) -> tuple[Step, ...]:
    return tuple(row for row in rows if isinstance(row, Step) and row.metrics)


def _points(evals: tuple[EvalPoint, ...], training: tuple[Step, ...]) -> tuple[Point, ...]:
    found, before = [], 0
    for point in evals:
        losses = [
            row.metrics["train/loss"]
            for row in training
            if before < row.step <= point.step and math.isfinite(row.metrics.get("train/loss", math.nan))
        ]
        found.append(Point(point, math.fsum(losses) / len(losses) if losses else None))
        before = point.step
    return tuple(found)


def _begun_trials(store: Store, ended: Mapping[int, object]) -> tuple[int, ...]:
    """Return the trials without a record; one that was put away early has no events yet."""
    return tuple(sorted(store.trial_dirs().keys() - ended.keys()))


def read_resampled_test(task: Task, final: FinalRecord, predictions: tuple[Prediction, ...]) -> ResampledTest:
    """Return the test result, read from the predictions if they belong to the record, else from
    the scores."""
    metrics = {name.removeprefix("test/"): value for name, value in final.test.items()}
    baseline = {name.removeprefix("test/"): value for name, value in final.baseline.items()}
    names = {name for row in predictions for name in (*row.label, *row.predicted)}
    if len(predictions) != final.test_rows or not final.train_shares or not names <= set(final.label_names):
        return recorded(task, final.test_rows, metrics, baseline)
    words = final.config.prompt is not None
    return _tested(task, final.label_names, final.train_shares, tuple(metrics.items()), predictions, words)


@lru_cache(maxsize=2)  # a report, its summary and the study's tracked run all ask for it
def _tested(
    task: Task,
    names: tuple[str, ...],
    shares: tuple[float, ...],
    metrics: tuple[tuple[str, float], ...],
    predictions: tuple[Prediction, ...],
    words: bool,
) -> ResampledTest:
    truth, predicted = (
        coded(task, names, [getattr(row, side) for row in predictions]) for side in ("label", "predicted")
    )
    known = [row.loss for row in predictions if row.loss is not None]
    losses = known if len(known) == len(predictions) else None
    return resample_test(task, truth, predicted, shares, dict(metrics), losses, words=words)
