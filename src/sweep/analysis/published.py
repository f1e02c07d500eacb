"""Figures that others published for this experiment, beside the measured ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sweep.analysis.experiment import Weights, weights
from sweep.analysis.facts import Facts, Point
from sweep.config.published import PublishedConfig, PublishedTraining, PublishedTrial
from sweep.config.schema import Scalar
from sweep.records.counted import counting
from sweep.records.final import FinalRecord
from sweep.records.trial import Metrics, TrialRecord

_SAME = 1e-6  # relative difference below which a searched number is the published one


@dataclass(frozen=True, slots=True)
class Compared:
    """A published score beside the measured one (None where it is missing); `difference` is
    measured less published. `of` tells from which evaluation of a trial it is, if from one."""

    name: str
    published: float
    measured: float | None
    difference: float | None
    of: Literal["last", "best"] | None = None


@dataclass(frozen=True, slots=True)
class ComparedTrial:
    """A published trial beside a measured one; `measured` is None where no trial has its values.
    `differences` holds the numbers among the values, measured less published."""

    number: int
    best: bool
    published: Mapping[str, Scalar]
    measured: int | None
    params: Mapping[str, Scalar]
    differences: Mapping[str, float]
    scores: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric at the end of each epoch, None where there was no evaluation then; of the published
    trial, or of the measured one that stands beside it (`trial`)."""

    published_trial: int
    trial: int | None
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    metric: str
    epochs: int
    rows: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class MeasuredTraining:
    """The retraining in the terms of the published figures. Seconds and rates include evaluations;
    losses by epoch are means of what was logged in it."""

    parameters_total: int
    parameters_trainable: int
    device: str
    steps: int
    seconds: float
    seconds_per_epoch: float | None
    samples_per_second: float | None
    steps_per_second: float | None
    eval_samples_per_second: float | None
    flops: float
    train_loss: float | None
    train_loss_first: float | None
    train_loss_last: float | None
    train_loss_by_epoch: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class PublishedFinal:
    """The final training and the test."""

    parameters_total: int | None
    parameters_trainable: int | None
    device: str
    eval_samples_per_second: float | None
    training: PublishedTraining
    measured: MeasuredTraining
    before: tuple[Compared, ...]
    test: tuple[Compared, ...]
    test_seconds: tuple[float, float] | None
    test_samples_per_second: tuple[float, float | None] | None
    refit: bool


@dataclass(frozen=True, slots=True)
class Differences:
    """The differences between the published experiment and this one. `model` is None where it is
    the published one; `rows` holds published and measured rows of splits that differ, `same_rows`
    the published ones where none does.

    `not_run` are published trials without a measured one. `better` is the trial that the search
    found better than the only published one; `largest` is the largest difference in a score, with
    its published trial.
    """

    model: tuple[str, str, Weights] | None
    rows: Mapping[str, tuple[int, int | None]]
    same_rows: Mapping[str, int]
    not_run: tuple[int, ...]
    trials: tuple[int, int] | None
    better: tuple[int, float | None] | None
    largest: tuple[int, Compared] | None


@dataclass(frozen=True, slots=True)
class Published:
    """`keys` and `kinds` (metric, and of which evaluation) are the columns of a table of `trials`;
    `best` compares the best trials of both. `final` is None before the winner was retrained."""

    source: str
    notes: str
    keys: tuple[str, ...]
    kinds: tuple[tuple[str, Literal["last", "best"] | None], ...]
    trials: tuple[ComparedTrial, ...]
    ran: int
    curves: tuple[Curves, ...]
    best: ComparedTrial | None
    final: PublishedFinal | None
    differs: Differences
    titles: Mapping[str, str] = field(default_factory=dict)


def published(facts: Facts) -> Published | None:
    """Return the comparison; None where the config names no published figures."""
    known = facts.config.published
    if known is None:
        return None
    matched = matches(known, facts.trials)
    beside = [matched[0] or facts.best] if len(known.trials) == 1 else list(matched)
    found = tuple(_compared(facts, known, n, one) for n, one in enumerate(beside))
    return Published(
        source=known.source,
        notes=known.notes,
        keys=tuple(dict.fromkeys(key for entry in known.trials for key in entry.params)),
        kinds=tuple(dict.fromkeys((score.name, score.of) for trial in found for score in trial.scores)),
        trials=found,
        ran=sum(trial is not None for trial in matched),
        curves=_curves(facts, known.trials, beside),
        best=_best(facts, known),
        final=_final(facts, known, facts.final) if facts.final else None,
        differs=_differences(facts, known, matched),
        titles={key: facts.title(key) for entry in known.trials for key in entry.params},
    )


def matches(known: PublishedConfig, trials: Sequence[TrialRecord]) -> tuple[TrialRecord | None, ...]:
    """Return for each published trial the first measured one with the same values; it may have
    more values, not fewer."""
    return tuple(next((one for one in trials if _same(entry.params, one.params)), None) for entry in known.trials)


def _compared(facts: Facts, known: PublishedConfig, number: int, trial: TrialRecord | None) -> ComparedTrial:
    entry, params = known.trials[number], trial.params if trial else {}
    return ComparedTrial(
        number=number,
        best=number == known.best_trial,
        published=entry.params,
        measured=trial.number if trial else None,
        params=params,
        differences={
            key: gap
            for key in entry.params
            if key in params
            if (gap := _gap(entry.params[key], params[key])) is not None
        },
        scores=_scores(facts, entry, trial),
    )


def _scores(facts: Facts, entry: PublishedTrial, trial: TrialRecord | None) -> tuple[Compared, ...]:
    points = facts.points[trial.number] if trial else ()
    last: Metrics = points[-1].eval.metrics if points else {}
    point = facts.best_eval(trial) if trial else None
    best: Metrics = point.metrics if point else {}
    return (
        *(_beside(name, wanted, last.get(name), "last") for name, wanted in entry.eval.items()),
        *(_beside(name, wanted, best.get(name), "best") for name, wanted in entry.best.items()),
    )


def _beside(name: str, reported: float, measured: float | None, of: Literal["last", "best"] | None = None) -> Compared:
    return Compared(name, reported, measured, None if measured is None else measured - reported, of)


def _curves(
    facts: Facts, entries: Sequence[PublishedTrial], matched: Sequence[TrialRecord | None]
) -> tuple[Curves, ...]:
    found = []
    for name in dict.fromkeys(name for entry in entries for name in entry.eval_by_epoch):
        rows = []
        for number, (entry, trial) in enumerate(zip(entries, matched, strict=True)):
            if reported := entry.eval_by_epoch.get(name, ()):
                rows.append(Curve(number, None, tuple(reported)))
            if trial is not None:
                rows.append(Curve(number, trial.number, _ends(facts.points[trial.number], name)))
        found.append(Curves(name, max(len(row.values) for row in rows), tuple(rows)))
    return tuple(found)


def _ends(points: Sequence[Point], name: str) -> tuple[float | None, ...]:
    found = {point.eval.epoch: point.metric(name) for point in points}
    return tuple(found.get(epoch) for epoch in range(1, math.floor(max(found, default=0)) + 1))


def _best(facts: Facts, known: PublishedConfig) -> ComparedTrial | None:
    """Return the best published trial beside the best measured one; None for a single published
    trial, and where the best one is not in the list."""
    if len(known.trials) < 2 or known.best_trial is None or known.best_trial >= len(known.trials) or facts.best is None:
        return None
    return _compared(facts, known, known.best_trial, facts.best)


def _final(facts: Facts, known: PublishedConfig, final: FinalRecord) -> PublishedFinal:
    seconds, speed = known.test_seconds, known.test_samples_per_second
    return PublishedFinal(
        parameters_total=known.parameters.total,
        parameters_trainable=known.parameters.trainable,
        device=known.device,
        eval_samples_per_second=known.eval_samples_per_second,
        training=known.train,
        measured=_measured(facts, final),
        before=tuple(_beside(name, wanted, final.before.get(name)) for name, wanted in known.before.items()),
        test=tuple(_beside(name, wanted, final.test.get(name)) for name, wanted in known.test.items()),
        test_seconds=None if seconds is None else (seconds, final.test_seconds),
        test_samples_per_second=None if speed is None else (speed, _per(final.test_rows, final.test_seconds)),
        refit=final.refit is not None,
    )


def _measured(facts: Facts, final: FinalRecord) -> MeasuredTraining:
    cost, held, logged = final.cost, final.parameters, _logged(facts, final)
    lasted = cost.train_seconds + cost.eval_seconds
    return MeasuredTraining(
        parameters_total=held.total,
        parameters_trainable=held.trainable,
        device=cost.device,
        steps=cost.steps,
        seconds=lasted,
        seconds_per_epoch=_per(lasted, final.retrain_evals[-1].epoch),
        samples_per_second=_per(cost.samples, lasted),
        steps_per_second=_per(cost.steps, lasted),
        eval_samples_per_second=cost.eval_samples_per_second,
        flops=cost.flops,
        train_loss=cost.train_loss,
        train_loss_first=logged[0][1] if logged else None,
        train_loss_last=logged[-1][1] if logged else None,
        train_loss_by_epoch=_means(logged, final),
    )


def _means(logged: Sequence[tuple[float, float]], final: FinalRecord) -> tuple[float | None, ...]:
    """Return the mean training loss of each epoch of the winner's trial; None where none was
    logged in an epoch."""
    means = []
    for epoch in range(1, math.floor(final.trial_evals[-1].epoch) + 1):
        losses = [loss for at, loss in logged if epoch - 1 < at <= epoch]
        means.append(math.fsum(losses) / len(losses) if losses else None)
    return tuple(means)


def _logged(facts: Facts, final: FinalRecord) -> list[tuple[float, float]]:
    """Return epochs and training losses of the winner's trial, which its retraining repeats."""
    rows = ((row.epoch, row.metrics.get("train/loss")) for row in facts.training.get(final.number, ()))
    return [(epoch, loss) for epoch, loss in rows if loss is not None]


def _differences(facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]) -> Differences:
    path, made, held = facts.lock.model.path, weights(facts.config.model), facts.lock.data.rows
    other = bool(known.model) and (path != known.model or made != "pretrained")
    rows = {split: (wanted, held.get(split)) for split, wanted in known.rows.items() if held.get(split) != wanted}
    counts = (len(known.trials), len(counting(facts.trials)))
    best, alone = facts.best, len(known.trials) == 1
    beaten = alone and best is not None and matched[0] not in (None, best)
    return Differences(
        model=(known.model, path, made) if other else None,
        rows=rows,
        same_rows={} if rows else known.rows,
        not_run=tuple(number for number, trial in enumerate(matched) if trial is None),
        trials=counts if known.trials and counts[0] != counts[1] else None,
        better=(best.number, facts.score(best)) if best is not None and beaten else None,
        largest=_largest(facts, known, matched),
    )


def _largest(
    facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]
) -> tuple[int, Compared] | None:
    """Return the largest difference over several published trials that ran."""
    gaps = [
        (abs(score.difference), number, score.name + ("" if score.of == "last" else ", best"), score.difference, score)
        for number, (entry, trial) in enumerate(zip(known.trials, matched, strict=True))
        for score in _scores(facts, entry, trial)
        if score.measured is not None and score.difference is not None and math.isfinite(score.measured)
    ]
    if not gaps or len(known.trials) < 2:
        return None
    _, number, _, _, score = max(gaps, key=lambda gap: gap[:4])
    return number, score


def _same(wanted: Mapping[str, Scalar], found: Mapping[str, Scalar]) -> bool:
    return bool(wanted) and all(key in found and _equal(wanted[key], found[key]) for key in wanted)


def _equal(first: Scalar, second: Scalar) -> bool:
    numbers = isinstance(first, int | float) and isinstance(second, int | float)
    return math.isclose(first, second, rel_tol=_SAME) if numbers else first == second  # type: ignore[arg-type]


def _gap(first: Scalar, second: Scalar) -> float | None:
    """Return the difference; None where one is no number, 0 where they are equal to rounding."""
    if not (isinstance(first, int | float) and isinstance(second, int | float)):
        return None
    return 0.0 if _equal(first, second) else second - first


def _per(amount: float, duration: float) -> float | None:
    return amount / duration if duration > 0 else None
