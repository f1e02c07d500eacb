"""The trials: how each ended, what it scored, and its evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from sweep.analysis.facts import Facts, Point
from sweep.analysis.folds import spread
from sweep.analysis.observations import Ending, Fit, Movement, ending, finite, fit, movement
from sweep.config.metrics import metric_names
from sweep.config.objective import LOSS
from sweep.config.schema import Scalar, Task
from sweep.records.cost import Cost
from sweep.records.counted import counting
from sweep.records.trial import Completed, Failed, Metrics, Pruned, TrialRecord, best_metrics, ranked
from sweep.search.score_error import standard_error

_SHOWN: dict[Task, tuple[str, ...]] = {
    "single_label": ("loss", "accuracy", "f1_weighted", "f1_macro"),
    "multi_label": ("loss", "subset_accuracy", "jaccard", "f1_micro", "f1_macro"),
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`train_loss` is the mean of what was logged since the evaluation before; `best` marks the
    one that scores the trial."""

    index: int
    epoch: float
    step: int
    train_loss: float | None
    metrics: Metrics
    best: bool


@dataclass(frozen=True, slots=True)
class Evaluations:
    """`names` are the metrics that a table of them shows, `eval/…`."""

    names: tuple[str, ...]
    rows: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """`mark` sets a trial apart: `winner`, `best so far`, `best in the search`, or empty. `leads`
    is true for the winner, or the best trial so far. `state` is `completed`, `pruned`, or the
    reason of a failure. `used` holds the values that the trial had room for where they are not
    those of `params`. `second` is the value of a second objective, of a completed trial. `seconds`
    is None for a trial that was lost or never began. `sd` is the standard deviation of the score
    over folds, if there are any."""

    number: int
    mark: str
    leads: bool
    state: str
    score: float | None
    second: float | None
    epoch: float | None
    seconds: float | None
    params: Mapping[str, Scalar]
    used: Mapping[str, Scalar]
    evaluations: Evaluations
    ending: Ending
    movement: Movement
    fit: Fit
    tracker_run: str
    command: str
    sd: float | None = None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A trial that has not ended, or whose process was killed."""

    number: int
    evaluations: Evaluations


@dataclass(frozen=True, slots=True)
class Spread:
    """The spread of the completed trials' scores."""

    trials: int
    low: float
    high: float
    best: float
    median: float

    @property
    def gain(self) -> float:
        """Return the distance between the best score and the median."""
        return abs(self.best - self.median)


@dataclass(frozen=True, slots=True)
class Tie:
    """Trials that share the best score, and what the winner was chosen by: its `eval/loss`, the
    number of `parameters` it trains, its `place`, being the earliest, or a second objective, of
    which it has the `lowest` or the highest. `value` is the winner's.
    """

    trials: tuple[int, ...]
    score: float
    winner: int
    by: str
    value: float | None
    lowest: bool = True


@dataclass(frozen=True, slots=True)
class Lead:
    """The best trial beside the second best. `standard_error` is that of the best score on `rows`
    validation rows, where the objective is a share of rows; `within` says that the two are no
    further apart."""

    gap: float
    second: float
    standard_error: float | None
    rows: int
    within: bool


@dataclass(frozen=True, slots=True)
class Trials:
    """`titles` are short names of the searched keys. A study has a `lead` or a `tie` once two
    trials have completed."""

    titles: Mapping[str, str]
    rows: tuple[Trial, ...]
    unfinished: tuple[Unfinished, ...]
    spread: Spread | None
    lead: Lead | None
    tie: Tie | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of trials by their end. Trials that were `stopped` and are tried again do not
    count; `reasons` counts the failures. `left` are still to run; of these, `unfinished` are
    running or were killed, `put_away` go on with the study's own command, and `paused` may.

    The pruner `ever_paused` so many trials, and promoted `promoted` of them at least once;
    `ended_paused` ended as pruned while they were paused.
    """

    planned: int
    counted: int
    completed: int
    pruned: int
    failed: int
    reasons: Mapping[str, int]
    stopped: int
    left: int
    unfinished: tuple[int, ...]
    put_away: tuple[int, ...]
    paused: tuple[int, ...] = ()
    ever_paused: int = 0
    promoted: int = 0
    ended_paused: int = 0


def trials(facts: Facts) -> Trials:
    """Return what is known of every trial."""
    return Trials(
        titles={key: facts.title(key) for key in facts.searched},
        rows=tuple(_trial(facts, trial) for trial in facts.trials),
        unfinished=tuple(Unfinished(number, evaluations(facts, points)) for number, points in facts.begun.items()),
        spread=_spread(facts),
        lead=_lead(facts),
        tie=_tie(facts),
    )


def progress(facts: Facts, *, stopped: bool = False) -> Progress:
    """Return how far the study has come. With `stopped`, `study.stop` lets no further trial
    start."""
    counted = counting(facts.trials)
    kinds = {kind: [t for t in counted if isinstance(t.outcome, kind)] for kind in (Completed, Pruned, Failed)}
    reasons: dict[str, int] = {}
    for trial in sorted(kinds[Failed], key=lambda trial: trial.state):
        reasons[trial.state] = reasons.get(trial.state, 0) + 1
    return Progress(
        planned=facts.wanted,
        counted=len(counted),
        completed=len(kinds[Completed]),
        pruned=len(kinds[Pruned]),
        failed=len(kinds[Failed]),
        reasons=reasons,
        stopped=len(facts.trials) - len(counted),
        left=0 if stopped else max(0, facts.wanted - len(counted)),
        unfinished=facts.unfinished,
        put_away=facts.put_away,
        paused=facts.paused,
        ever_paused=len(facts.promotions),
        promoted=sum(count > 0 for count in facts.promotions.values()),
        ended_paused=sum(trial.pauses > trial.promotions for trial in facts.trials),
    )


def shown_metrics(facts: Facts, found: Sequence[Metrics]) -> tuple[str, ...]:
    """Return short names of the recorded metrics that summaries show: the objectives first, then
    the task's main ones."""
    sought = [one.metric.removeprefix("eval/") for one in facts.study.objectives]
    names = dict.fromkeys([*sought, *_SHOWN[facts.config.dataset.task]])
    recorded = {name.partition("/")[2] for metrics in found for name in metrics}
    return tuple(name for name in names if name in recorded)


def every_metric(facts: Facts, found: Sequence[Metrics]) -> tuple[str, ...]:
    """Return short names of all recorded metrics of the task, in its order."""
    recorded = {name.partition("/")[2] for metrics in found for name in metrics}
    return tuple(name for name in metric_names(facts.config) if name in recorded)


def evaluations(facts: Facts, points: Sequence[Point]) -> Evaluations:
    """Return the rows of a table, the loss first among its metrics."""
    names = sorted(shown_metrics(facts, [point.eval.metrics for point in points]), key=lambda name: name != "loss")
    best = facts.study.objective.best(points, lambda point: point.eval.metrics)
    rows = tuple(
        Evaluation(p.eval.index, p.eval.epoch, p.eval.step, p.train_loss, p.eval.metrics, best=p is best)
        for p in points
    )
    return Evaluations(tuple(f"eval/{name}" for name in names), rows)


def _trial(facts: Facts, trial: TrialRecord) -> Trial:
    best, cost, points = facts.best_eval(trial), trial.outcome.cost, facts.points[trial.number]
    ended = not isinstance(trial.outcome, Pruned)
    return Trial(
        number=trial.number,
        mark=facts.mark(trial),
        leads=trial is facts.winner,
        state=trial.state,
        score=facts.score(trial),
        second=_second(facts, trial),
        epoch=best.epoch if best else None,
        seconds=None if cost == Cost() else cost.seconds,
        params=trial.params,
        used=trial.used,
        evaluations=evaluations(facts, points),
        ending=ending(trial, points, folds=facts.config.dataset.folds),
        movement=movement(points, facts.metric, maximize=facts.maximize, ended=ended),
        fit=fit(points, comparable=facts.plain_loss(trial.params)),
        tracker_run=facts.run_address(trial.tracker_run),
        command=trial.command,
        sd=spread(best.metrics, facts.metric) if best else None,
    )


def _second(facts: Facts, trial: TrialRecord) -> float | None:
    value = math.nan if facts.study.second is None else trial.value(facts.study.second)
    return None if math.isnan(value) else value


def _spread(facts: Facts) -> Spread | None:
    """Return the spread; None below three completed trials."""
    values = sorted(value for trial in facts.completed if finite(value := facts.score(trial)))
    if len(values) < 3:
        return None
    return Spread(len(values), values[0], values[-1], values[-1] if facts.maximize else values[0], median(values))


def _lead(facts: Facts) -> Lead | None:
    top, second = _top_two(facts)
    if top is None or second is None or top == second or facts.study.choose_within:
        return None
    gap, rows = abs(top - second), facts.lock.data.scored
    if facts.metric != f"eval/{facts.proportion}" or not rows:
        return Lead(gap, second, None, rows, within=False)
    error = standard_error(top, rows)
    return Lead(gap, second, error, rows, within=gap <= error)


def _tie(facts: Facts) -> Tie | None:
    (top, second), best = _top_two(facts), facts.best
    if best is None or top is None or top != second or facts.study.choose_within:
        return None
    equal = [trial for trial in facts.completed if facts.score(trial) == top]
    runner_up = ranked([trial for trial in equal if trial is not best], facts.study.objective)[0]
    losses = [best_metrics(trial).get(LOSS) for trial in (best, runner_up)]
    sizes = [trial.outcome.cost.trained_parameters for trial in (best, runner_up)]
    numbers = tuple(trial.number for trial in equal)
    other = facts.study.second
    if other is not None and best.value(other) != runner_up.value(other):
        return Tie(numbers, top, best.number, other.metric, best.value(other), lowest=not other.maximize)
    if losses[0] != losses[1]:
        return Tie(numbers, top, best.number, LOSS, losses[0])
    if sizes[0] != sizes[1]:
        return Tie(numbers, top, best.number, "parameters", sizes[0])
    return Tie(numbers, top, best.number, "place", None)


def _top_two(facts: Facts) -> tuple[float | None, float | None]:
    """Return the best score, and the best score of the other trials."""
    best = facts.best
    others = [value for trial in facts.completed if trial is not best and finite(value := facts.score(trial))]
    if best is None or not others:
        return None, None
    return facts.score(best), max(others) if facts.maximize else min(others)
