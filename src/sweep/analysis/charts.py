"""The numbers of the report's figures. A figure that the records do not allow yet is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sweep.analysis.calibration import Calibrated, calibrated
from sweep.analysis.confusion import Confusion, confusion
from sweep.analysis.facts import Facts, Point
from sweep.analysis.guessing import guess
from sweep.analysis.hyperparameters import Hyperparameters as Known
from sweep.analysis.observations import finite
from sweep.analysis.out_of_fold import matrices
from sweep.analysis.pareto import ParetoSet, pareto
from sweep.config.measured import MEASURED
from sweep.config.schema import Scalar
from sweep.records.trial import Completed, Failed, Pruned, TrialRecord

Ended = Literal["completed", "pruned", "failed"]
Line = tuple[tuple[float, float], ...]  # (x, y) pairs


@dataclass(frozen=True, slots=True)
class TrialScore:
    """The best score of a trial. `mark` is the winner's, as `Facts.mark` names it, else empty."""

    number: int
    ended: Ended
    value: float
    mark: str


@dataclass(frozen=True, slots=True)
class Search:
    """The scores in the order of the trials. `silent` holds the trials without a score,
    `best_so_far` the best completed score after each (trial, score) and up to the last trial, and
    `baseline` the score of `guess`."""

    metric: str
    scored: tuple[TrialScore, ...]
    silent: tuple[int, ...]
    best_so_far: tuple[tuple[int, float], ...]
    baseline: float | None
    guess: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The evaluations of a trial: finite values by metric, each as (epoch, value). `state` is
    empty for a completed trial; one without a record is `running`, `paused` or `unfinished`.
    `leads` is true
    for the winner, or the best trial so far."""

    number: int
    mark: str
    state: str
    leads: bool
    lines: Mapping[str, Line]


@dataclass(frozen=True, slots=True)
class Curves:
    metrics: tuple[str, ...]
    trials: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """The axis of a searched key. `names` are its choices; empty for a range, which goes from
    `low` to `high` and over every value that was tried. `whole` says that all values are whole
    numbers."""

    names: tuple[str, ...]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """The scores against one searched key; `places` are the x values of `scored`, for choices the
    index of the choice."""

    title: str
    axis: Axis
    places: tuple[float, ...]
    scored: tuple[TrialScore, ...]


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    metric: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Importance:
    """The importance of the searched keys for the objective, the largest first; they sum to 1."""

    metric: str
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Winner:
    """The winning trial and its retraining, each as (optimizer step, value): the logged training
    loss, and by metric the evaluations."""

    metric: str
    training_loss: Line
    trial: Mapping[str, Line]
    retrained: Mapping[str, Line]


@dataclass(frozen=True, slots=True)
class Charts:
    search: Search | None
    pareto: ParetoSet | None
    curves: Curves | None
    importance: Importance | None
    hyperparameters: Hyperparameters | None
    winner: Winner | None
    confusion: Confusion | None
    out_of_fold: Confusion | None
    calibration: Calibrated | None


def charts(facts: Facts, known: Known | None = None) -> Charts:
    """Return the numbers of every figure; `known` is what each hyperparameter did."""
    return Charts(
        search=search(facts),
        pareto=pareto(facts),
        curves=curves(facts),
        importance=importance(facts, known) if known else None,
        hyperparameters=hyperparameters(facts),
        winner=winner(facts),
        confusion=confusion(facts.final, multi_label=facts.multi_label) if facts.final else None,
        out_of_fold=matrices(facts),
        calibration=calibrated(facts),
    )


def search(facts: Facts) -> Search | None:
    """Return the score of each trial; None for a single training run."""
    scored = _scored(facts)
    if not scored or facts.alone:
        return None
    known = {one.number for one in scored}
    return Search(
        metric=facts.metric,
        scored=scored,
        silent=tuple(trial.number for trial in facts.trials if trial.number not in known),
        best_so_far=_best_so_far(facts, scored),
        baseline=facts.final.baseline.get(facts.metric) if facts.final else None,
        guess=guess(facts.config.dataset.task),
    )


def curves(facts: Facts) -> Curves | None:
    """Return every trial's evaluations: the objectives and, if it is another, the evaluation loss.
    Trials without a record come last.

    None where no trial was evaluated, and for a single training run once it was retrained.
    """
    trials = [trial for trial in facts.trials if facts.points[trial.number]]
    begun = {number: points for number, points in facts.begun.items() if points}
    if not (trials or begun) or (facts.alone and facts.final):
        return None
    metrics = _metrics(facts)
    ended = [_curve(facts, trial, metrics) for trial in trials]
    return Curves(metrics, (*ended, *(_unfinished(facts, number, points) for number, points in begun.items())))


def hyperparameters(facts: Facts) -> Hyperparameters | None:
    """Return the scores against each searched key; None below two trials with a score."""
    scored, params = _scored(facts), {trial.number: trial.params for trial in facts.trials}
    keys = [key for key in facts.searched if any(key in params[one.number] for one in scored)]
    if len(scored) < 2 or not keys:
        return None
    panels = (
        _panel(facts, key, [(one, params[one.number][key]) for one in scored if key in params[one.number]])
        for key in keys
    )
    return Hyperparameters(facts.metric, tuple(panels))


def importance(facts: Facts, known: Known) -> Importance | None:
    """Return the importance of each key that has one; None below two such keys."""
    if len(known.shares) < 2:
        return None
    return Importance(facts.metric, tuple((facts.title(key), share) for key, share in known.shares))


def winner(facts: Facts) -> Winner | None:
    """Return the losses and scores of the winner; None where it was not evaluated."""
    if facts.winner is None or not (points := facts.points[facts.winner.number]):
        return None
    training = facts.training[facts.winner.number]
    retrained = [Point(found, None) for found in facts.final.retrain_evals] if facts.final else []
    metrics = _metrics(facts)
    return Winner(
        metric=facts.metric,
        training_loss=tuple((row.step, row.metrics["train/loss"]) for row in training if "train/loss" in row.metrics),
        trial={name: _line(points, name, x="step") for name in metrics},
        retrained={name: _line(retrained, name, x="step") for name in metrics},
    )


def _metrics(facts: Facts) -> tuple[str, ...]:
    sought = [one.metric for one in facts.study.objectives if one.metric not in MEASURED]
    return tuple(dict.fromkeys([*sought, "eval/loss"]))


def _scored(facts: Facts) -> tuple[TrialScore, ...]:
    """Return the trials that have a finite score, in their order."""
    return tuple(
        TrialScore(trial.number, _ended(trial), value, facts.mark(trial) if trial is facts.winner else "")
        for trial in facts.trials
        if finite(value := facts.score(trial))
    )


def _ended(trial: TrialRecord) -> Ended:
    match trial.outcome:
        case Completed():
            return "completed"
        case Pruned():
            return "pruned"
        case Failed():
            return "failed"


def _best_so_far(facts: Facts, scored: Sequence[TrialScore]) -> tuple[tuple[int, float], ...]:
    pick = max if facts.maximize else min
    steps: list[tuple[int, float]] = []
    for one in scored:
        if one.ended == "completed":
            steps.append((one.number, pick(steps[-1][1], one.value) if steps else one.value))
    return (*steps, (facts.trials[-1].number, steps[-1][1])) if steps else ()


def _curve(facts: Facts, trial: TrialRecord, metrics: Sequence[str]) -> Curve:
    points = facts.points[trial.number]
    return Curve(
        number=trial.number,
        mark=facts.mark(trial),
        state="" if isinstance(trial.outcome, Completed) else trial.state,
        leads=trial is facts.winner,
        lines={name: _line(points, name, x="epoch") for name in metrics},
    )


def _unfinished(facts: Facts, number: int, points: Sequence[Point]) -> Curve:
    state = "running" if facts.running and number in facts.unfinished else "unfinished"
    state = "paused" if number in facts.paused else state
    lines = {name: _line(points, name, x="epoch") for name in _metrics(facts)}
    return Curve(number, mark="", state=state, leads=False, lines=lines)


def _line(points: Sequence[Point], name: str, *, x: Literal["epoch", "step"]) -> Line:
    return tuple((getattr(point.eval, x), value) for point in points if finite(value := point.metric(name)))


def _panel(facts: Facts, key: str, found: Sequence[tuple[TrialScore, Scalar]]) -> Panel:
    spec = facts.lock.space.get(key)
    axis = _axis(spec if isinstance(spec, Mapping) else {}, [value for _, value in found])
    places = tuple(axis.names.index(str(value)) if axis.names else _number(value) for _, value in found)
    return Panel(facts.title(key), axis, places, tuple(one for one, _ in found))


def _axis(spec: Mapping[str, Any], values: Sequence[Scalar]) -> Axis:
    """Return choices for listed keys and for values that are no numbers, a range otherwise."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if "choices" in spec or len(numbers) < len(values):
        return Axis(tuple(dict.fromkeys(map(str, [*spec.get("choices", ()), *values]))))
    low, high = min(spec.get("low", numbers[0]), *numbers), max(spec.get("high", numbers[0]), *numbers)
    return Axis((), low, high, bool(spec.get("log")), all(isinstance(value, int) for value in numbers))


def _number(value: Scalar) -> float:
    assert isinstance(value, int | float)
    return value
