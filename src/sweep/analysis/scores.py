"""The winner's scores, beside the model before training and beside guessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.analysis.facts import Facts
from sweep.analysis.guessing import AgainstGuessing, guess
from sweep.analysis.inference import wilson
from sweep.analysis.trials import every_metric, shown_metrics
from sweep.config.objective import Objective
from sweep.records.final import FinalRecord
from sweep.records.trial import Metrics

Kind = Literal["trained", "refitted", "before", "guess"]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one model on one split; metrics by short name, such as `accuracy`. `model` is
    the `trained` winner, the `refitted` one, the same model `before` training, or a `guess`.

    `thresholds` names the decision thresholds: `tuned`, `even` ones of 0.5, one other number, or
    None for the usual ones. `own` marks the winner's scores at its own thresholds.
    """

    split: Literal["validation", "test"]
    model: Kind
    thresholds: Literal["tuned", "even"] | float | None
    metrics: Mapping[str, float]
    own: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """A test score with its 95 % interval, by Wilson's score method or by bootstrap over the test
    rows."""

    metric: str
    value: float
    low: float
    high: float
    by: Literal["wilson", "bootstrap"]


@dataclass(frozen=True, slots=True)
class Gains:
    """Test scores less those of `than`, signed so that above 0 is better."""

    than: Scores
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Before:
    """The share of right rows before training, beside the winner's and its Wilson interval."""

    score: float
    since: float
    place: Literal["below", "inside", "above"]


@dataclass(frozen=True, slots=True)
class TestScores:
    """`sought` is the short name of the objective, and `sought_score` its test score, if recorded;
    `guess` the name of the classifier that always answers the same. `against_guessing` compares
    the winner with the best of `guesses` ways to guess. `shown` and `every` are the metrics of
    short and of full tables."""

    __test__ = False  # no test case, whatever its name

    sought: str
    sought_score: float | None
    guess: str
    shown: tuple[str, ...]
    every: tuple[str, ...]
    lines: tuple[Scores, ...]
    gains: tuple[Gains, ...]
    intervals: tuple[Interval, ...]
    guesses: int
    against_guessing: AgainstGuessing | None
    before: Before | None


def scores(facts: Facts) -> TestScores | None:
    """Return the scores of the winner; None before it was tested."""
    final = facts.final
    if final is None:
        return None
    sought, found = facts.metric.removeprefix("eval/"), [final.validation, final.test]
    known = lines(facts, final)
    return TestScores(
        sought=sought,
        sought_score=final.test.get(f"test/{sought}"),
        guess=guess(facts.config.dataset.task),
        shown=shown_metrics(facts, found),
        every=every_metric(facts, found),
        lines=known,
        gains=_gains(known, facts.study.objective),
        intervals=intervals(facts, final),
        guesses=len(facts.resampled_test.guesses) if facts.resampled_test else 0,
        against_guessing=against_guessing(facts),
        before=_before(facts, final),
    )


def lines(facts: Facts, final: FinalRecord) -> tuple[Scores, ...]:
    """Return validation first, then test; of each the trained model, the one before training, and
    guessing."""
    at = _thresholds(facts, final)
    kind: Kind = "refitted" if final.refit else "trained"
    reached = _named("eval", final.validation)
    found = [
        Scores("validation", "trained", "even" if final.tuned else at, reached, own=not final.tuned),
        Scores("validation", "trained", at, _named("eval", final.tuned), own=True),
        Scores("validation", "before", None, _named("eval", final.before)),
        Scores("validation", "guess", None, _named("eval", final.baseline)),
        Scores("test", kind, at, _named("test", final.test), own=True),
        Scores("test", kind, "even", _named("test", final.untuned)),
        Scores("test", "before", None, _named("test", final.before)),
        Scores("test", "guess", None, _named("test", final.baseline)),
    ]
    return tuple(line for line in found if line.metrics)


def intervals(facts: Facts, final: FinalRecord) -> tuple[Interval, ...]:
    """Return those of what was searched for, and of the share of right rows."""
    test, found = facts.resampled_test, []
    for name in dict.fromkeys((facts.metric.removeprefix("eval/"), facts.proportion)):
        measured, between = final.test.get(f"test/{name}"), test.interval(name) if test else None
        if measured is not None and between is not None:
            by: Literal["wilson", "bootstrap"] = "wilson" if name == facts.proportion else "bootstrap"
            found.append(Interval(name, measured, *between, by))
    return tuple(found)


def against_guessing(facts: Facts) -> AgainstGuessing | None:
    """Return the comparison in what was searched for, or, where no interval of that is known, in
    the share of right rows."""
    if (test := facts.resampled_test) is None:
        return None
    return test.against_guessing(facts.metric.removeprefix("eval/")) or test.against_guessing(facts.proportion)


def _before(facts: Facts, final: FinalRecord) -> Before | None:
    """Return the scores before training; None where the model could not classify then."""
    name = f"test/{facts.proportion}"
    measured, before = final.test.get(name), final.before.get(name)
    if measured is None or before is None:
        return None
    low, high = wilson(measured, final.test_rows)
    return Before(before, measured - before, "below" if before < low else "inside" if before <= high else "above")


def _gains(found: Sequence[Scores], objective: Objective) -> tuple[Gains, ...]:
    """Return the gains of test over what it is compared with: all that is known of test, and the
    winner's own scores on validation."""
    ours, *others = sorted(found, key=lambda line: line.split != "test")
    held = (line for line in others if line.split == "test" or line.own)
    return tuple(Gains(line, _gain(ours.metrics, line.metrics, objective)) for line in held)


def _gain(measured: Metrics, reference: Metrics, objective: Objective) -> dict[str, float]:
    return {
        name: (reference[name] - value) if objective.lower(name) else value - reference[name]
        for name, value in measured.items()
        if name in reference
    }


def _named(prefix: str, metrics: Metrics) -> dict[str, float]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in metrics.items() if name.startswith(f"{prefix}/")}


def _thresholds(facts: Facts, final: FinalRecord) -> Literal["tuned"] | float | None:
    """Return the thresholds; None where they are the usual 0.5."""
    if not facts.multi_label:
        return None
    if final.tuned or final.untuned:
        return "tuned"
    threshold = final.config.trainer.decision_threshold
    return threshold if threshold != 0.5 else None
