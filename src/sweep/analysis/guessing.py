"""The uncertainty of the test scores, beside classifiers that do not read the text.

Every metric gets a 95 % interval by bootstrap over the test rows (Efron and Tibshirani, 1993); a
share of rows gets Wilson's score interval instead, which holds for few rows too. Three ways of
guessing are scored on the same resampled rows, so that a difference has an interval of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.analysis.counts import Bools, Counts, Floats, marked, metric, percentiles
from sweep.analysis.inference import wilson
from sweep.config.metrics import BY_TASK, proportion
from sweep.config.schema import Task

Interval = tuple[float, float]
# Label numbers (…, rows), or for a multi-label task (…, rows, labels) of False and True.
Labels = NDArray[np.int64] | Bools
Given = Callable[[NDArray[np.int64]], Labels]  # row numbers (samples, rows) → what is given to them

_SAMPLES, _FEWEST = 2_000, 400
_GUESSES = 200  # draws that the mean score of a random guess is taken over
_CELLS = 10_000_000  # of the labels that are drawn in all, over rows and samples
_AT_ONCE = 2_000_000
_SEED = 0

MAJORITY: Mapping[Task, str] = {
    "single_label": "majority class",
    "multi_label": "most frequent value of each label",
}
_UNIFORM: Mapping[Task, str] = {
    "single_label": "guess with equal chances",
    "multi_label": "guess of each label with even chances",
}
_FREQUENCIES = "guess by the labels' shares of train"


def guess(task: Task) -> str:
    """Return the name of the classifier that always answers the same."""
    return MAJORITY[task]


@dataclass(frozen=True, slots=True)
class ResampledScores:
    """Scores of one classifier by short metric name: `metrics` on the test rows (the mean, for a
    random guess), and `drawn` on each resample, (samples,)."""

    metrics: Mapping[str, float]
    drawn: Mapping[str, Floats]

    def interval(self, task: Task, name: str, rows: int) -> Interval | None:
        """Return the 95 % interval; None where it cannot be computed."""
        if name == proportion(task) and name in self.metrics:
            return wilson(self.metrics[name], rows)
        return percentiles(self.drawn[name]) if name in self.drawn else None


@dataclass(frozen=True, slots=True)
class AgainstGuessing:
    """The winner's test score beside the best guess. `better` is 1, 0 or -1: better, no
    difference shown, worse. Differences are signed so that above 0 is better."""

    metric: str
    value: float
    interval: Interval
    guess: str
    guess_value: float
    guess_interval: Interval
    difference: float
    difference_interval: Interval
    better: int


@dataclass(frozen=True, slots=True)
class ResampledTest:
    """The winner and each way of guessing, by name, on the same test rows and resamples."""

    task: Task
    rows: int
    own: ResampledScores
    guesses: Mapping[str, ResampledScores]

    def interval(self, name: str) -> Interval | None:
        return self.own.interval(self.task, name, self.rows)

    def best_guess(self, name: str) -> str | None:
        """Return the guess with the best score, the first of equal ones; None where no guess has
        this metric."""
        sign = -1 if name == "loss" else 1
        known = [guess for guess, scored in self.guesses.items() if name in scored.metrics]
        return max(known, key=lambda guess: sign * self.guesses[guess].metrics[name], default=None)

    def against_guessing(self, name: str) -> AgainstGuessing | None:
        """Return the comparison; None where the winner or every guess lacks the metric.

        The winner is better than a guess if the interval of their difference lies above 0 and, in
        a share of rows, its own interval lies above the guess's score.
        """
        guess, interval = self.best_guess(name), self.interval(name)
        if guess is None or interval is None or name not in self.own.metrics:
            return None
        other, sign = self.guesses[guess], -1 if name == "loss" else 1
        value, rule = self.own.metrics[name], other.metrics[name]
        theirs = other.interval(self.task, name, self.rows) or (rule, rule)
        if name in self.own.drawn:
            low, high = percentiles(sign * (self.own.drawn[name] - other.drawn.get(name, np.float64(rule))))
        else:
            low, high = sorted(sign * (end - rule) for end in interval)
        better = int(low > 0) - int(high < 0)
        if name == proportion(self.task) and interval[0] <= rule <= interval[1]:
            better = 0
        return AgainstGuessing(name, value, interval, guess, rule, theirs, sign * (value - rule), (low, high), better)


def resample_test(
    task: Task,
    truth: Labels,
    predicted: Labels,
    shares: Sequence[float],
    metrics: Mapping[str, float],
    losses: Sequence[float] | None = None,
    *,
    words: bool = False,
) -> ResampledTest:
    """Return the scores of the winner and of each way of guessing on the test rows.

    `shares` holds the share of train rows that have each label; `metrics` are the winner's
    recorded scores by short name; `losses` are its own by row.

    A random guess scores its mean over many draws; its share of right rows and its loss are exact.
    `words` says that the winner's loss is of label words among a whole vocabulary, which no guess
    among labels compares with.
    """
    drawn = _resampled(_Rows(task, truth, len(shares)), lambda rows: predicted[rows], losses)
    own = ResampledScores({name: metrics[name] for name in drawn if name in metrics}, drawn)
    found = guesses(task, truth, shares)
    return ResampledTest(
        task, len(truth), own, {name: _without_loss(guess) for name, guess in found.items()} if words else found
    )


def _without_loss(guess: ResampledScores) -> ResampledScores:
    return ResampledScores(
        {name: value for name, value in guess.metrics.items() if name != "loss"},
        {name: drawn for name, drawn in guess.drawn.items() if name != "loss"},
    )


def recorded(task: Task, rows: int, metrics: Mapping[str, float], baseline: Mapping[str, float]) -> ResampledTest:
    """Return the test scores from recorded ones, where there are no predictions to resample.
    Only a share of rows has an interval then, and the majority class is the only guess."""
    return ResampledTest(task, rows, ResampledScores(metrics, {}), {MAJORITY[task]: ResampledScores(baseline, {})})


def coded(task: Task, names: Sequence[str], given: Sequence[Sequence[str]]) -> Labels:
    """Return the label names of each row as the numbers or marks of `Labels`."""
    places = {name: place for place, name in enumerate(names)}
    if task == "single_label":
        return np.asarray([places[row[0]] for row in given], dtype=np.int64)
    return marked(places, given)


def guesses(task: Task, truth: Labels, shares: Sequence[float]) -> dict[str, ResampledScores]:
    """Return the scores of three ways of guessing, by name: always the most frequent label; every
    label with the same chance; labels with their shares of train.

    For a multi-label task each label is guessed by itself: its most frequent value, yes or no with
    even chances, or yes with its share of train.
    """
    rows, chances = _Rows(task, truth, len(shares)), np.asarray(shares, dtype=np.float64)
    even = np.full(len(chances), 0.5 if task == "multi_label" else 1 / len(chances))
    always = _most_frequent(rows, chances)
    found = {
        MAJORITY[task]: ResampledScores(
            _seen(rows, lambda numbers: always[numbers], samples=1),
            _resampled(rows, lambda numbers: always[numbers], None),
        )
    }
    for name, chance in ((_UNIFORM[task], even), (_FREQUENCIES, chances)):
        found[name] = _random_guess(rows, chance)
    return found


@dataclass(frozen=True, slots=True)
class _Rows:
    """The test rows with their labels, of `labels` there are."""

    task: Task
    truth: Labels
    labels: int

    @property
    def samples(self) -> int:
        return max(_FEWEST, min(_SAMPLES, _CELLS // self.truth.size))

    def resamples(self) -> Iterator[NDArray[np.int64]]:
        """Yield row numbers drawn with replacement, (samples, rows) each; the same at every
        call."""
        generator = np.random.default_rng(_SEED)
        for size in self._batches(self.samples):
            yield generator.integers(0, len(self.truth), (size, len(self.truth)))

    def as_they_are(self, times: int) -> Iterator[NDArray[np.int64]]:
        for size in self._batches(times):
            yield np.tile(np.arange(len(self.truth)), (size, 1))

    def _batches(self, samples: int) -> Iterator[int]:
        batch = max(1, _AT_ONCE // self.truth.size)
        return (min(batch, samples - start) for start in range(0, samples, batch))

    def metrics(self, numbers: NDArray[np.int64], given: Labels) -> dict[str, Floats]:
        """Return each metric but the loss, (samples,)."""
        count = _counts_of_one if self.task == "single_label" else _counts_of_many
        counts = count(self.truth[numbers], given, self.labels)
        return {name: metric(self.task, counts, name) for name in BY_TASK[self.task] if name != "loss"}


def _most_frequent(rows: _Rows, chances: Floats) -> Labels:
    if rows.task == "single_label":
        return np.full(len(rows.truth), chances.argmax(), dtype=np.int64)
    return np.tile(chances > 0.5, (len(rows.truth), 1))


def _random_guess(rows: _Rows, chances: Floats) -> ResampledScores:
    """Return the scores of a random guess. Accuracy and loss are exact; other scores are means
    over draws."""
    given, losses = _random(rows.task, chances), _losses(rows, chances)
    finite = bool(np.isfinite(losses).all())
    means = _seen(rows, given, samples=_GUESSES) | {proportion(rows.task): _expected(rows, chances)}
    means |= {"loss": float(losses.mean())} if finite else {}
    return ResampledScores(means, _resampled(rows, given, losses if finite else None))


def _resampled(rows: _Rows, given: Given, losses: Sequence[float] | Floats | None) -> dict[str, Floats]:
    """Return each metric on each resample, the loss included where `losses` holds it by row."""
    by_row = None if losses is None else np.asarray(losses, dtype=np.float64)
    parts: list[dict[str, Floats]] = []
    for numbers in rows.resamples():
        found = rows.metrics(numbers, given(numbers))
        parts.append(found if by_row is None else found | {"loss": by_row[numbers].mean(axis=1)})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _seen(rows: _Rows, given: Given, *, samples: int) -> dict[str, float]:
    """Return each metric on the rows without resampling, as the mean over `samples` draws of
    predictions."""
    parts = [rows.metrics(numbers, given(numbers)) for numbers in rows.as_they_are(samples)]
    return {name: float(np.concatenate([part[name] for part in parts]).mean()) for name in parts[0]}


def _counts_of_one(truth: Labels, given: Labels, labels: int) -> Counts:
    """Return the counts of a single-label task. `truth` and `given` are label numbers (samples,
    rows)."""
    right = truth == given
    place = np.arange(len(truth))[:, None] * labels

    def summed(codes: NDArray[np.int64]) -> Floats:
        return np.bincount(codes, minlength=len(truth) * labels).reshape(-1, labels).astype(np.float64)

    exact = right.mean(axis=1)
    true, named = truth + place, given + place
    return Counts(summed(true.ravel()), summed(named.ravel()), summed(true[right]), exact, exact)


def _counts_of_many(truth: Labels, given: Labels, labels: int) -> Counts:  # noqa: ARG001
    """Return the counts of a multi-label task. `truth` and `given` are (samples, rows, labels)."""
    both, either = truth & given, (truth | given).sum(axis=2)
    overlap = np.where(either > 0, both.sum(axis=2) / np.maximum(either, 1), 1.0).mean(axis=1)
    true, named, shared = (marks.sum(axis=1, dtype=np.float64) for marks in (truth, given, both))
    return Counts(true, named, shared, (truth == given).all(axis=2).mean(axis=1), overlap)


def _random(task: Task, chances: Floats) -> Given:
    """Return a function that draws labels with these chances: one a row, or each label by itself
    for a multi-label task."""
    generator = np.random.default_rng(_SEED + 1)
    upper = np.cumsum(chances) / chances.sum()

    def given(numbers: NDArray[np.int64]) -> Labels:
        if task == "multi_label":
            return np.asarray(generator.random((*numbers.shape, len(chances))) < chances)
        drawn = np.searchsorted(upper, generator.random(numbers.shape), side="right")
        return np.asarray(np.minimum(drawn, len(chances) - 1))

    return given


def _by_row(rows: _Rows, chances: Floats) -> Floats:
    """Return the chance of each row's label, (rows,), or of each label's value, (rows, labels)."""
    if rows.task == "single_label":
        return np.asarray(chances[rows.truth] / chances.sum())
    return np.asarray(np.where(rows.truth, chances, 1 - chances))


def _expected(rows: _Rows, chances: Floats) -> float:
    """Return the share of rows that a random guess gets right on average."""
    found = _by_row(rows, chances)
    return float((found if rows.task == "single_label" else found.prod(axis=1)).mean())


def _losses(rows: _Rows, chances: Floats) -> Floats:
    """Return the loss of each row, (rows,), for these predicted chances; infinite where the truth
    has none."""
    with np.errstate(divide="ignore"):
        found = -np.log(_by_row(rows, chances))
    return np.asarray(found if rows.task == "single_label" else found.mean(axis=1))
