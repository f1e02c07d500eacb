"""The estimate of what more trials would bring, and the rules of `study.stop`, replayed on recorded
learning curves.

    python -m benchmarks.outlook [--tables head semeval_quickstart …] [--seeds 20] [--optuna 2]

Searches of 32 trials, one after the other, are replayed as `benchmarks.replay` says: random
points and TPE; without pruning, with racing as it is by default, and with the race that stops
trials for good. By default racing pauses trials on tables of 500 validation rows or more; on the
others it is the race that stops, and measured once. The tables are all that have 32 points. Those
named are measured, none if none is named after `--tables`, and take the place of the same ones in
`results/outlook.json`.

The estimate is made at the end of searches of 8, 12, 16 and 24 trials, and compared with how much
better the search of 32 trials on the same seed was: the mean of both, and the share of searches in
which the gain stayed below the limit that it is said to stay below with a probability of 95 %.
`--optuna` makes the estimates of `optuna.terminator` for so many of the seeds, without pruning:
the regret bound and the expected minimum model regret.

Of each rule: the share of searches that it ended, of trials that did not begin, and of rows that
were not trained; how far the best score was behind that of the whole search, in points; and the
share of searches in which it was within 0.2 points. A search is cut after the trial at whose end
the rule first held: with several slots, those that run then are finished, so that it saves less
and misses less.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from statistics import mean
from typing import TypeVar

from benchmarks import curves, five_knob_tables
from benchmarks.curves import Table
from benchmarks.five_knobs import Rule as Pruning
from benchmarks.racing_rules import NONE, RACING, STOPPING, rules
from benchmarks.replay import WITHIN, End, Replayed
from benchmarks.table import RESULTS, write
from sweep.config.schema import SamplerName
from sweep.plan.pausing import LEAST_SCORED
from sweep.search.distributions import distribution
from sweep.search.gain import Gain, expected_gain
from sweep.search.score_error import standard_error

TRIALS = 32
AFTER = (8, 12, 16, 24)
SAMPLERS: tuple[SamplerName, ...] = ("random", "tpe")
PRUNERS = (NONE, RACING, STOPPING)
LEAST: tuple[float | str, ...] = (0.001, 0.002, 0.005, 0.01, "error")
PATIENCE = (5, 8, 12)
FILE = RESULTS / "outlook.json"

F = TypeVar("F", "Estimated", "Stopped")


@dataclass(frozen=True, slots=True)
class Search:
    """A replayed search of so many trials, which trained so many report steps. `ends` are its
    trials in the order in which they ended; those that were paused to the last are not among
    them."""

    ends: tuple[End, ...]
    trials: int
    trained: int
    validation_rows: int

    @classmethod
    def of(cls, table: Table, run: Replayed) -> Search:
        return cls(run.ends, run.trials, run.trained, table.validation_rows)

    def completed(self, ended: int | None = None) -> list[float]:
        """Return the scores of the trials that completed, of the first ones that `ended` or of
        all."""
        return [end.score for end in self.ends[:ended] if end.score is not None]

    def best(self, ended: int | None = None) -> float:
        return max(self.completed(ended), default=float("-inf"))

    def estimate(self, ended: int) -> Gain | None:
        """Return the gain that the other trials were expected to bring when so many had ended."""
        return _estimate(tuple(self.completed(ended)), ended, self.trials - ended)

    def estimate_of(self, more: int) -> Gain | None:
        """Return the gain that further trials were expected to bring at the end of the search,
        when paused ones are pruned."""
        return _estimate(tuple(self.completed()), self.trials, more)


@cache
def _estimate(scores: tuple[float, ...], ended: int, more: int) -> Gain | None:
    return expected_gain(scores, ended, more, room=1 - max(scores, default=1.0))


Rule = Callable[[Search, int], bool]


def little_left(least: float | str) -> Rule:
    """Return the rule `study.stop.expected_gain`."""

    def holds(search: Search, ended: int) -> bool:
        gain = search.estimate(ended)
        bound = standard_error(search.best(ended), search.validation_rows) if isinstance(least, str) else least
        return gain is not None and gain.expected < bound

    return holds


def patience(most: int) -> Rule:
    """Return the rule `study.stop.patience`."""

    def holds(search: Search, ended: int) -> bool:
        scores = [end.score for end in search.ends[:ended]]
        completed = search.completed(ended)
        return bool(completed) and ended - scores.index(max(completed)) - 1 >= most

    return holds


RULES: Mapping[str, Rule] = {
    **{f"expected_gain: {least}": little_left(least) for least in LEAST},
    **{f"patience: {most}": patience(most) for most in PATIENCE},
}


@dataclass(frozen=True, slots=True)
class Estimated:
    """The estimate `by` the project or one of Optuna's, at the end of searches of so many trials.
    Scores are shares, not points. `known` counts the searches in which the gain was known."""

    sampler: str
    pruner: str
    by: str
    table: str
    after: int
    searches: int
    known: int
    expected: float
    real: float
    covered: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a rule saved and missed. `held` is the share of the searches that it ended."""

    sampler: str
    pruner: str
    rule: str
    table: str
    searches: int
    held: float
    saved: float
    rows_saved: float
    lost: float
    within: float


def stopped_at(search: Search, rule: Rule) -> int | None:
    """Return the number of ended trials after which the rule ends the search; None where it does
    not, or has nothing left to save."""
    found = next((ended for ended in range(1, len(search.ends) + 1) if rule(search, ended)), None)
    return None if found is None or search.ends[found - 1].trained == search.trained else found


def stopped(searches: Sequence[Search], name: str, **names: str) -> Stopped:
    """Return what a rule saves and misses over searches of one table."""
    ends = [stopped_at(search, RULES[name]) for search in searches]
    lost = [search.best() - search.best(end) for search, end in zip(searches, ends, strict=True)]
    cut = [(one, one.ends[end - 1]) for one, end in zip(searches, ends, strict=True) if end is not None]
    return Stopped(
        **names, rule=name, searches=len(searches), held=len(cut) / len(searches),
        saved=sum(1 - end.begun / one.trials for one, end in cut) / len(searches),
        rows_saved=sum(1 - end.trained / one.trained for one, end in cut) / len(searches),
        lost=mean(lost), within=mean(float(one <= WITHIN) for one in lost),
    )  # fmt: skip


def estimated(pairs: Sequence[tuple[Search, Search]], **names: str) -> Estimated | None:
    """Return how the estimates at the ends of searches compare with the searches of all trials on
    the same seeds; None where none was known."""
    found = [
        (gain, whole.best() - early.best())
        for early, whole in pairs if (gain := early.estimate_of(whole.trials - early.trials)) is not None
    ]  # fmt: skip
    return _compared(
        [(gain.expected, gain.limit, real) for gain, real in found], after=pairs[0][0].trials, searches=len(pairs), by="sweep",
        **names,
    )  # fmt: skip


def _compared(
    found: Sequence[tuple[float, float, float]], *, after: int, searches: int, **names: str
) -> Estimated | None:
    if not found:
        return None
    expected, _, real = (mean(values) for values in zip(*found, strict=True))
    covered = mean(float(gain <= limit) for _, limit, gain in found)
    return Estimated(
        **names, after=after, searches=searches, known=len(found), expected=expected, real=real, covered=covered
    )


def of_optuna(table: Table, pairs: Sequence[tuple[Search, Search]], /, **names: str) -> Iterator[Estimated]:
    """Yield the estimates of `optuna.terminator`, from at least four completed trials."""
    import optuna
    from optuna.study import StudyDirection
    from optuna.terminator import EMMREvaluator, RegretBoundEvaluator

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    keys = {parameter.key: distribution(parameter) for parameter in table.space}
    found: dict[str, list[tuple[float, float, float]]] = {"regret bound": [], "expected minimum model regret": []}
    for early, whole in pairs:
        trials = [
            optuna.trial.create_trial(
                params=dict(end.curve.params), distributions={key: keys[key] for key in end.curve.params}, value=end.score
            )
            for end in early.ends if end.score is not None
        ]  # fmt: skip
        if len(trials) < 4:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bound = RegretBoundEvaluator(min_n_trials=4, seed=0).evaluate(trials, StudyDirection.MAXIMIZE)
            regret = EMMREvaluator(seed=0).evaluate(trials, StudyDirection.MAXIMIZE)
        for by, value in (("regret bound", bound), ("expected minimum model regret", regret)):
            found[by].append((float(value), float(value), whole.best() - early.best()))
    for by, values in found.items():
        one = _compared(values, after=pairs[0][0].trials, searches=len(pairs), by=by, **names)
        if one is not None:
            yield one


def tables() -> dict[str, Table]:
    """Return the recorded tables with enough points, by name."""
    found = {name: curves.read(name) for name in curves.recorded()}
    found |= {name: five_knob_tables.read(name) for name in five_knob_tables.recorded()}
    return {name: table for name, table in found.items() if len(table.curves) >= TRIALS}


def measure(table: Table, name: str, *, seeds: int, optuna: int) -> Iterator[Estimated | Stopped]:
    """Yield the estimates and the rules of all samplers and pruners on a table."""
    for sampler in SAMPLERS:
        for pruner, pruning in rules(sampler).items():
            if pruner == RACING and table.validation_rows < LEAST_SCORED:
                continue  # it stops trials for good there
            names = {"sampler": sampler, "pruner": pruner, "table": name}
            whole = _searches(table, pruning, seeds, TRIALS)
            for after in AFTER:
                pairs = list(zip(_searches(table, pruning, seeds, after), whole, strict=True))
                if (one := estimated(pairs, **names)) is not None:
                    yield one
                if pruner == NONE and optuna:
                    yield from of_optuna(table, pairs[:optuna], **names)
            yield from (stopped(whole, rule, **names) for rule in RULES)


def _searches(table: Table, pruning: Pruning, seeds: int, trials: int) -> list[Search]:
    return [Search.of(table, pruning.replayed(table, trials=trials, slots=1, seed=seed)) for seed in range(seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = tables()
    parser.add_argument("--tables", nargs="*", choices=list(there), default=list(there))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--optuna", type=int, default=2, help="seeds of the estimates of optuna.terminator")
    asked = parser.parse_args()
    kept = json.loads(FILE.read_text()) if FILE.exists() else {"estimates": [], "rules": []}
    estimates = [Estimated(**one) for one in kept["estimates"]]
    stops = [Stopped(**one) for one in kept["rules"]]
    for name in asked.tables:
        found = list(measure(there[name], name, seeds=asked.seeds, optuna=asked.optuna))
        estimates = [one for one in estimates if one.table != name] + [
            one for one in found if isinstance(one, Estimated)
        ]
        stops = [one for one in stops if one.table != name] + [one for one in found if isinstance(one, Stopped)]
        write(FILE, {"estimates": [asdict(one) for one in estimates], "rules": [asdict(one) for one in stops]})
    for sampler in SAMPLERS:
        for pruner in PRUNERS:
            _show(sampler, pruner, _of(estimates, sampler, pruner), _of(stops, sampler, pruner))


def _of(found: Sequence[F], sampler: str, pruner: str) -> list[F]:
    return [one for one in found if (one.sampler, one.pruner) == (sampler, pruner)]


def _show(sampler: str, pruner: str, estimates: Sequence[Estimated], stops: Sequence[Stopped]) -> None:
    """Print the means over the tables."""
    print(f"\n{sampler}, {pruner}: {len({one.table for one in stops})} tables", flush=True)
    for by in dict.fromkeys(one.by for one in estimates):
        for after in AFTER:
            same = [one for one in estimates if (one.by, one.after) == (by, after)]
            if same:
                known = sum(one.known for one in same) / sum(one.searches for one in same)
                print(
                    f"  {by}, after {after}: known in {known:.0%}, expected {100 * mean(one.expected for one in same):.2f} points, "
                    f"real {100 * mean(one.real for one in same):.2f}, covered {mean(one.covered for one in same):.0%}"
                )
    for rule in RULES:
        each = [one for one in stops if one.rule == rule]
        if each:
            print(
                f"  {rule:24} ended {mean(one.held for one in each):4.0%}, trials saved {mean(one.saved for one in each):4.0%}, "
                f"rows {mean(one.rows_saved for one in each):4.0%}, lost {100 * mean(one.lost for one in each):.2f} points, "
                f"within 0.2 points {mean(one.within for one in each):.0%}"
            )


if __name__ == "__main__":
    main()
