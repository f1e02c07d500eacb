"""All numbers of a comparison, computed once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from sweep.analysis.comparison.bootstrap import Difference, Resampled, resample
from sweep.analysis.comparison.comparable import differences
from sweep.analysis.comparison.methods import ComparedMethod, Entry, read_methods
from sweep.analysis.comparison.outcomes import Outcomes, read_outcomes
from sweep.analysis.comparison.pareto import front
from sweep.analysis.comparison.significance import McNemar, holm, mcnemar
from sweep.analysis.inference import wilson
from sweep.config.metrics import BY_TASK, proportion
from sweep.config.objective import Objective
from sweep.config.schema import Task
from sweep.errors import Fault, UserError

SAMPLES, SEED = 10_000, 0
ALPHA = 0.05  # p below which a difference counts as significant
_MAIN: dict[Task, tuple[str, ...]] = {
    "single_label": ("accuracy", "f1_macro", "f1_weighted"),
    "multi_label": ("subset_accuracy", "f1_micro", "f1_macro"),
}
_SAME = 1e-6  # of a metric computed again from predictions


@dataclass(frozen=True, slots=True)
class Pair:
    """Two methods on the same test rows. `p` is McNemar's, and `corrected` those of `differences`,
    metric by metric: each corrected after Holm over all pairs."""

    first: str
    second: str
    mcnemar: McNemar
    p: float
    differences: tuple[Difference, ...]
    corrected: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`metrics` are short names, the main one first. The loss and metrics of the user's own are
    not among them: they cannot be computed from labels alone, and have no test."""

    methods: tuple[ComparedMethod, ...]
    metrics: tuple[str, ...]
    outcomes: Outcomes
    resampled: Resampled
    pairs: tuple[Pair, ...]
    samples: int
    seed: int

    @property
    def task(self) -> Task:
        return self.outcomes.task

    @property
    def objective(self) -> Objective:
        return self.methods[0].lock.config.study.objective

    @property
    def main(self) -> str:
        return self.metrics[0]

    @property
    def proportion(self) -> str:
        return proportion(self.task)

    @property
    def ranked(self) -> tuple[ComparedMethod, ...]:
        """Return the methods, best on test by the main metric first; ties are broken by the loss,
        then by the number of trained parameters."""
        return tuple(sorted(self.methods, key=lambda one: (-self.score(one), *_after("test", one.final.test, one))))

    @property
    def by_validation(self) -> tuple[ComparedMethod, ...]:
        """Return the methods, best on validation by the main metric first; ties are broken in the
        same way."""

        def rank(one: ComparedMethod) -> tuple[float, float, int]:
            value = one.validation.get(f"eval/{self.main}", -math.inf)
            return (-value, *_after("eval", one.validation, one))

        return tuple(sorted(self.methods, key=rank))

    def score(self, one: ComparedMethod) -> float:
        return self.resampled.seen[one.name][self.main]

    def interval(self, one: ComparedMethod, name: str) -> tuple[float, float]:
        """Return the 95 % interval: Wilson's for a share of rows, else the bootstrap's."""
        if name == self.proportion:
            return wilson(self.resampled.seen[one.name][name], self.outcomes.rows)
        return self.resampled.interval(one.name, name)

    def pair(self, first: str, second: str) -> Pair:
        return next(pair for pair in self.pairs if {pair.first, pair.second} == {first, second})

    def p(self, pair: Pair) -> float:
        """Return the p-value of no difference in the main metric, corrected after Holm: McNemar's
        for a share of rows, else the bootstrap's."""
        return pair.p if self.main == self.proportion else pair.corrected[0]

    def front(self, costs: Sequence[float]) -> frozenset[str]:
        """Return the names of the methods that no other one beats in both the main metric and
        `costs`."""
        points = [(self.score(one), cost) for one, cost in zip(self.methods, costs, strict=True)]
        return frozenset(one.name for one, kept in zip(self.methods, front(points), strict=True) if kept)


def compare(
    entries: Sequence[Entry], *, metrics: Sequence[str] = (), samples: int = SAMPLES, seed: int = SEED
) -> Comparison:
    """Return the comparison. `metrics` are short names, without a prefix; empty takes the task's
    main ones and the objective.

    Raises UserError with all that is wrong: runs that cannot be read, are not finished or cannot
    be compared, and metrics that the task does not have.
    """
    found, faults = read_methods(entries)
    faults += differences(found)
    if found:
        faults += _metric_faults(found[0].task, metrics)
    if faults:
        raise UserError(faults)
    task, labels = found[0].task, found[0].final.label_names
    outcomes = read_outcomes(task, labels, {one.name: one.predictions for one in found})
    chosen = _chosen(found[0], metrics)
    resampled = resample(outcomes, chosen, samples=samples, seed=seed)
    _check(found, resampled)
    pairs = _pairs(found, outcomes, resampled, chosen)
    return Comparison(found, chosen, outcomes, resampled, pairs, samples, seed)


def _after(split: str, metrics: Mapping[str, float], one: ComparedMethod) -> tuple[float, int]:
    """Return a key that sorts those of equal scores: the lower loss on the split first, then the
    fewer trained parameters."""
    loss = metrics.get(f"{split}/loss", math.inf)
    return loss if math.isfinite(loss) else math.inf, one.final.parameters.trainable


def _chosen(one: ComparedMethod, metrics: Sequence[str]) -> tuple[str, ...]:
    objective = one.lock.config.study.metric.removeprefix("eval/")
    names = tuple(metrics) or (objective, *_MAIN[one.task])
    return tuple(name for name in dict.fromkeys(names) if name in BY_TASK[one.task] and name != "loss")


def _metric_faults(task: Task, metrics: Sequence[str]) -> list[Fault]:
    known = [name for name in BY_TASK[task] if name != "loss"]
    return [
        Fault("--metric", f"is {name!r}, but the runs are {task}, which has: {', '.join(known)}")
        for name in metrics
        if name not in known
    ]


def _check(found: Sequence[ComparedMethod], resampled: Resampled) -> None:
    """Raises UserError where predictions do not give the scores that were recorded with them."""
    faults = [
        Fault(str(one.folder / "predictions.csv"), f"gives {name} {value:.6f}, but the run recorded {known:.6f}")
        for one in found
        for name, value in resampled.seen[one.name].items()
        if (known := one.final.test.get(f"test/{name}")) is not None and abs(known - value) > _SAME
    ]
    if faults:
        raise UserError(faults)


def _pairs(
    found: Sequence[ComparedMethod], outcomes: Outcomes, resampled: Resampled, metrics: Sequence[str]
) -> tuple[Pair, ...]:
    names = list(combinations([one.name for one in found], 2))
    tests = [_mcnemar(outcomes, *pair) for pair in names]
    gaps = [[resampled.difference(*pair, name) for name in metrics] for pair in names]
    by_metric = [holm([row[place].p for row in gaps]) for place in range(len(metrics))]
    return tuple(
        Pair(*pair, test, p, tuple(row), corrected)
        for pair, test, p, row, corrected in zip(
            names, tests, holm([test.p for test in tests]), gaps, zip(*by_metric, strict=True), strict=True
        )
    )


def _mcnemar(outcomes: Outcomes, first: str, second: str) -> McNemar:
    ours, theirs = outcomes.right(first), outcomes.right(second)
    return mcnemar(int((ours & ~theirs).sum()), int((theirs & ~ours).sum()))
