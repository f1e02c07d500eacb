"""Sentences about how training went, each with the numbers it rests on. Pure functions of recorded values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeGuard

from sweep.config.metrics import BY_TASK
from sweep.config.objective import LOSS
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Pruned, TrialRecord, best_metrics, ranked
from sweep.report.facts import Facts, Point
from sweep.report.inference import standard_error
from sweep.report.markdown import escape
from sweep.report.units import count, plural, score, share, signed

STILL_IMPROVING = 0.1  # share of the whole gain that the last evaluation must bring to be called that
LOSS_TURN = 0.01  # rise of the evaluation loss, relative to its lowest, from which it is called a turn
WIDE_GAP = 0.1  # share of the evaluation loss by which the training loss must lie below it to be worth a warning
_COMPARED = {f"eval/{name}" for names in BY_TASK.values() for name in names}

_FAILURES = {
    FailureReason.DIVERGED: "Diverged: a loss or score was no finite number",
    FailureReason.OUT_OF_MEMORY: "Ran out of memory",
    FailureReason.TIMED_OUT: "Ran out of time",
    FailureReason.INTERRUPTED: "Interrupted by the user, to be tried again on resuming",
    FailureReason.LOST: "Lost: its process ended without a word, to be tried again on resuming",
    FailureReason.DISK_FAILED: "The disk failed, which says nothing about the values; to be tried again on resuming",
    FailureReason.CRASHED: "Crashed",
    FailureReason.INFEASIBLE: "Not trained, since its values break a rule together",
}


def trial_observations(facts: Facts, trial: TrialRecord) -> list[str]:
    """How the trial ended, how its score moved, and what its losses say, in this order."""
    points = facts.points[trial.number]
    pruned = isinstance(trial.outcome, Pruned)
    moved = course(points, facts.metric, maximize=facts.maximize, ended=not pruned)
    sentences = [ending(trial, points), *moved, *fit(points)]
    return [sentence for sentence in sentences if sentence]


def ending(trial: TrialRecord, points: Sequence[Point]) -> str:
    """Empty for a trial that ran its full course."""
    done = _progress(trial, points)
    match trial.outcome:
        case Completed(stopped_early=True):
            return f"Stopped early {done}: no evaluation had improved for as long as the experiment waits."
        case Completed():
            return ""
        case Pruned():
            return f"Pruned {done}: the pruner judged it weak beside the trials before it."
        case Failed(given_up=True):
            return f"Given up: twice its process died while it trained this trial and no other ({done})."
        case Failed(reason=reason, message=message):
            said = f", with the message “{escape(message, 300)}”" if message else ""
            return f"{_FAILURES[reason]} ({done}{said})."


def course(points: Sequence[Point], metric: str, *, maximize: bool, ended: bool = True) -> list[str]:
    """How the objective moved over the evaluations; a value that is not finite is named and left out. Of a trial that was
    pruned before it `ended` nothing is said about a plateau: longer training would not help it."""
    if not points:
        return ["No evaluation was reached."]
    found = [(point.eval.index, value) for point in points if (value := point.metric(metric)) is not None]
    broken = [index for index, value in found if not math.isfinite(value)]
    series = [(index, value) for index, value in found if math.isfinite(value)]
    sentences = [f"{metric} was not a finite number at evaluation {_listed(broken)}."] if broken else []
    if not series:
        return sentences or [f"{plural(len(points), 'evaluation')}, none of them with {metric}."]
    if len(series) == 1:
        return [*sentences, f"One evaluation with {metric}: {score(series[0][1])}."]
    if len({value for _, value in series}) == 1:
        return [*sentences, f"{metric} stayed at {score(series[0][1])} in all {len(series)} evaluations."]
    begun = {point.eval.index for point in points if point.eval.epoch < 1}
    later = [(index, value) for index, value in series if index not in begun]
    plateau = [_convergence(series, later, maximize)] if ended else []
    return [*sentences, _movement(series, metric, maximize), *plateau]


def fit(points: Sequence[Point]) -> list[str]:
    """Whether the evaluation loss turned, and how its distance to the training loss moved."""
    series = [(point.eval.index, loss) for point in points if _finite(loss := point.metric("eval/loss"))]
    if len(series) < 2:
        return []
    gaps = _gaps(points)
    return [sentence for sentence in (_turn(series, gaps), _gap(gaps)) if sentence]


def training(facts: Facts) -> list[str]:
    """Convergence and overfitting of the retrained winner, a sentence each."""
    return [*course(facts.retrained, facts.metric, maximize=facts.maximize)[-1:], *fit(facts.retrained)[:1]]


def lead(facts: Facts) -> str:
    """The winner's distance to the second best, beside the standard error that its validation rows leave it."""
    best = facts.best
    others = [value for trial in facts.completed if trial is not best and _finite(value := facts.score(trial))]
    top = facts.score(best) if best else None
    if best is None or top is None or not others:
        return ""
    second = max(others) if facts.maximize else min(others)
    if top == second:
        return tie(facts, best, top)
    gap = score(abs(top - second))
    sentence = f"The best trial is {gap} better in {facts.metric} than the second best ({score(second)})"
    rows = facts.lock.data.rows.get("validation", 0)
    if facts.metric != f"eval/{facts.proportion}" or not rows:
        return f"{sentence}."
    error = standard_error(top, rows)
    verdict = "within one" if abs(top - second) <= error else "beyond one"
    return f"{sentence}, {verdict} standard error of such a score on {count(rows)} validation rows ({score(error)})."


def tie(facts: Facts, best: TrialRecord, top: float) -> str:
    """Which trials share the best score, and by what the winner was chosen among them."""
    equal = [trial for trial in facts.completed if facts.score(trial) == top]
    runner_up = ranked([trial for trial in equal if trial is not best], facts.study.objective)[0]
    numbers = ", ".join(str(trial.number) for trial in equal)
    return f"Trials {numbers} are equal in {facts.metric} ({score(top)}): {_tie_broken(best, runner_up)}."


def _tie_broken(best: TrialRecord, second: TrialRecord) -> str:
    losses = [best_metrics(trial).get(LOSS) for trial in (best, second)]
    sizes = [trial.outcome.cost.trained_parameters for trial in (best, second)]
    if losses[0] != losses[1]:
        return f"trial {best.number} counts as the best, for its {LOSS} is the lowest ({score(losses[0])})"
    if sizes[0] != sizes[1]:
        return f"trial {best.number} counts as the best, for it trains the fewest parameters ({count(sizes[0])})"
    return f"trial {best.number} counts as the best, for it is the earliest of those with the same {LOSS}"


def equal_evaluations(points: Sequence[Point], metric: str, best: EvalPoint) -> str:
    """Says that several evaluations share the best score; empty where one has it alone."""
    epochs = [f"{one.eval.epoch:.4g}" for one in points if one.metric(metric) == best.metrics.get(metric)]
    if len(epochs) < 2:
        return ""
    return (
        f"The evaluations of epochs {', '.join(epochs)} are equal in {metric}; that of epoch {best.epoch:.4g} counts, for "
        f"its {LOSS} is the lowest, or the same and it is the earliest."
    )


def spread(facts: Facts) -> str:
    """How far apart the completed trials scored; empty below three of them."""
    values = sorted(value for trial in facts.completed if _finite(value := facts.score(trial)))
    if len(values) < 3:
        return ""
    if values[0] == values[-1]:
        return f"All {len(values)} completed trials are equal in {facts.metric}, {score(values[0])}."
    best = values[-1] if facts.maximize else values[0]
    middle = median(values)
    return (
        f"The {len(values)} completed trials scored from {score(values[0])} to {score(values[-1])} in {facts.metric}; the "
        f"best is {score(abs(best - middle))} better than the median, {score(middle)}."
    )


def agreement(trial: Sequence[Point], retrain: Sequence[Point]) -> str:
    """Whether the retraining repeated the trial, over every metric of every evaluation that both have."""
    pairs = [
        (abs(again.eval.metrics[name] - value), name, point.eval.index)
        for point, again in zip(trial, retrain, strict=False)
        for name, value in point.eval.metrics.items()
        if name in _COMPARED and _finite(again.metric(name)) and math.isfinite(value)
    ]
    if not pairs:
        return "Trial and retraining have no evaluation in common to compare."
    largest, name, index = max(pairs)
    compared = f"{plural(len(pairs), 'value')} compared over {plural(min(len(trial), len(retrain)), 'evaluation')}"
    unequal = (
        f" They differ in length: {len(trial)} and {len(retrain)} evaluations." if len(trial) != len(retrain) else ""
    )
    if largest == 0:
        return f"The retraining repeats the trial exactly: largest difference 0, {compared}.{unequal}"
    where = f"in {name} at evaluation {index} ({compared})"
    return f"Largest difference between trial and retraining: {largest:.3g}, {where}.{unequal}"


def _movement(series: Sequence[tuple[int, float]], metric: str, maximize: bool) -> str:
    (first_index, first), (last_index, last) = series[0], series[-1]
    best_index, best = _best(series, maximize)
    verb = "rose" if last > first else "fell"
    way = f"{metric} {verb} from {score(first)} (evaluation {first_index}) to {score(last)} (evaluation {last_index})"
    if last == first:
        way = f"{metric} was {score(first)} at the first evaluation and at the last ({last_index})"
    at = "first at" if sum(value == best for _, value in series) > 1 else "at"
    return f"{way}; best {score(best)} {at} evaluation {best_index}."


def _convergence(series: Sequence[tuple[int, float]], later: Sequence[tuple[int, float]], maximize: bool) -> str:
    """`later` are those of the series from the end of the first epoch on: beside what the first steps bring, every later
    gain is small, and a trial that is evaluated within its first epoch would seem to have learnt all there is."""
    best_index, best = _best(series, maximize)
    last_index, last = series[-1]
    if best_index != last_index:
        beside = "equal to" if best == last else f"{score(abs(best - last))} worse than"
        return f"No gain after evaluation {best_index} of {len(series)}: the last one is {beside} the best."
    counted = later if len(later) > 1 else series
    since = " since the first epoch" if len(counted) < len(series) else ""
    if len(counted) == 2:
        return (
            f"Two evaluations{since} are too few to see a plateau: the second brought {signed(last - counted[0][1])}."
        )
    before, whole = _best(counted[:-1], maximize)[1], abs(best - counted[0][1])
    gained = abs(best - before)
    gain = f"the gain{since}" if since else "the whole gain"
    part = f"the last evaluation brought {signed(last - before)}, {share(gained, whole)} of {gain}"
    if gained >= STILL_IMPROVING * whole:
        return f"Still improving when it ended, so longer training may help: {part}."
    return f"Near its plateau when it ended: {part}."


def _turn(series: Sequence[tuple[int, float]], gaps: Sequence[_Gap]) -> str:
    lowest_index, lowest = min(series, key=lambda pair: pair[1])
    last_index, last = series[-1]
    if last > lowest * (1 + LOSS_TURN) and lowest_index != last_index:
        rise = share(last - lowest, lowest)
        return (
            f"A sign of overfitting: eval/loss turned after evaluation {lowest_index}, from {score(lowest)} up to "
            f"{score(last)} (+{rise})."
        )
    where = "the last evaluation" if lowest_index == last_index else f"evaluation {lowest_index}"
    after = "" if lowest_index == last_index else f", and {score(last)} at the last"
    said = f"eval/loss was lowest, {score(lowest)}, at {where}{after}"
    if len(gaps) > 1 and gaps[-1].value > max(WIDE_GAP * gaps[-1].evaluation, gaps[0].value):
        return f"No overfitting yet: {said}, though by then {score(gaps[-1].value)} above the training loss."
    return f"No sign of overfitting: {said}."


@dataclass(frozen=True, slots=True)
class _Gap:
    """What is above 0 where the rows that are trained on are fitted better than new ones."""

    index: int
    evaluation: float
    training: float

    @property
    def value(self) -> float:
        return self.evaluation - self.training


def _gaps(points: Sequence[Point]) -> list[_Gap]:
    return [
        _Gap(point.eval.index, loss, point.train_loss)
        for point in points
        if _finite(loss := point.metric("eval/loss")) and point.train_loss is not None
    ]


def _gap(gaps: Sequence[_Gap]) -> str:
    if len(gaps) < 2:
        return ""
    first, last = gaps[0], gaps[-1]
    verb = "grew" if last.value > first.value else "shrank"
    way = f"{verb} from {signed(first.value)} to" if first.value != last.value else "stayed at"
    better = "better" if last.value > 0 else "no better"
    return (
        f"The gap, eval/loss less training loss, {way} {signed(last.value)} between evaluations {first.index} and "
        f"{last.index} ({score(last.evaluation)} against {score(last.training)}): at the end the model fits the rows it "
        f"trains on {better} than new ones."
    )


def _progress(trial: TrialRecord, points: Sequence[Point]) -> str:
    steps = max(trial.outcome.cost.steps, points[-1].eval.step if points else 0)
    after = f"after evaluation {points[-1].eval.index}" if points else "before its first evaluation"
    return f"{after}, {count(steps)} of {count(trial.total_steps)} steps"


def _best(series: Sequence[tuple[int, float]], maximize: bool) -> tuple[int, float]:
    return max(series, key=lambda pair: pair[1]) if maximize else min(series, key=lambda pair: pair[1])


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
