"""The estimate of what more trials would bring, and the rules of `study.stop`, replayed on recorded
learning curves.

    python -m benchmarks.outlook [--seeds 20] [--optuna 6]

Searches of 32 trials (of all points of a table with fewer), one after the other, are replayed as
`benchmarks.replay` says: random points and TPE, without pruning and with the race that stops
trials for good.

The estimate is made after 8, 12, 16 and 24 trials, and compared with what the trials that followed
brought in fact: the mean of both, and the share of searches in which the gain stayed below the
limit that it is said to stay below with a probability of 95 %. `--optuna` makes the estimates of
`optuna.terminator` for so many of the seeds: the regret bound and the expected minimum model
regret, from the completed trials.

Of each rule: the share of trials, and of the rows trained, that it saved; how far the best score
was behind that of the whole search, in points; and the share of searches in which it was within
0.2 points. A search is cut after the trial at whose end the rule first held: with several slots,
those that run then are finished, so that it saves less and misses less.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from statistics import mean

from benchmarks import five_knobs
from benchmarks.curves import Table, read, recorded
from benchmarks.replay import WITHIN, Policy, Replayed, replay
from benchmarks.table import RESULTS, write
from sweep.config.schema import PrunerName, SamplerName
from sweep.search.distributions import distribution
from sweep.search.gain import Gain, expected_gain
from sweep.search.score_error import standard_error
from sweep.search.stopping_race import StoppingRace

TRIALS = 32
AFTER = (8, 12, 16, 24)
SAMPLERS: tuple[SamplerName, ...] = ("random", "tpe")
PRUNERS: tuple[PrunerName, ...] = ("none", "racing")
LEAST: tuple[float | str, ...] = (0.001, 0.002, 0.005, 0.01, "error")
PATIENCE = (5, 8, 12)


@dataclass(frozen=True, slots=True)
class Search:
    """A replayed search: the score of each trial in the order of the asks, None for one that was
    pruned, and the report steps that each trained."""

    scores: tuple[float | None, ...]
    lengths: tuple[int, ...]
    validation_rows: int

    @classmethod
    def of(cls, table: Table, run: Replayed) -> Search:
        whole = (length == table.at_of(curve)[-1] for curve, length in zip(run.curves, run.lengths, strict=True))
        scores = tuple(score if ended else None for score, ended in zip(run.points, whole, strict=True))
        return cls(scores, run.lengths, table.validation_rows)

    def completed(self, trials: int) -> list[float]:
        return [score for score in self.scores[:trials] if score is not None]

    def best(self, trials: int) -> float:
        return max(self.completed(trials), default=float("-inf"))

    def gain(self, trials: int) -> float:
        """Return what the trials after the first ones brought."""
        return self.best(len(self.scores)) - self.best(trials)

    def estimate(self, trials: int) -> Gain | None:
        return _estimate(tuple(self.completed(trials)), trials, len(self.scores) - trials)


@cache
def _estimate(scores: tuple[float, ...], ended: int, more: int) -> Gain | None:
    return expected_gain(scores, ended, more, room=1 - max(scores, default=1.0))


Rule = Callable[[Search, int], bool]


def little_left(least: float | str) -> Rule:
    """Return the rule `study.stop.expected_gain`."""

    def holds(search: Search, trials: int) -> bool:
        gain = search.estimate(trials)
        bound = standard_error(search.best(trials), search.validation_rows) if isinstance(least, str) else least
        return gain is not None and gain.expected < bound

    return holds


def patience(most: int) -> Rule:
    """Return the rule `study.stop.patience`."""

    def holds(search: Search, trials: int) -> bool:
        completed = search.completed(trials)
        return bool(completed) and trials - search.scores.index(max(completed)) - 1 >= most

    return holds


RULES: Mapping[str, Rule] = {
    **{f"expected_gain: {least}": little_left(least) for least in LEAST},
    **{f"patience: {most}": patience(most) for most in PATIENCE},
}


@dataclass(frozen=True, slots=True)
class Estimated:
    """Scores are shares, not points. `searches` counts those in which the gain was known."""

    sampler: str
    pruner: str
    by: str
    table: str
    after: int
    searches: int
    known: int
    expected: float
    real: float
    covered: float | None


@dataclass(frozen=True, slots=True)
class Stopped:
    sampler: str
    pruner: str
    rule: str
    table: str
    searches: int
    saved: float
    rows_saved: float
    lost: float
    within: float


def stopped_at(search: Search, rule: Rule) -> int:
    """Return the number of trials after which the rule ends the search."""
    every = len(search.scores)
    return next((trials for trials in range(1, every) if rule(search, trials)), every)


def stopped(searches: Sequence[Search], name: str, **names: str) -> Stopped:
    """Return what a rule saves and misses over searches of one table."""
    ends = [stopped_at(search, RULES[name]) for search in searches]
    pairs = list(zip(searches, ends, strict=True))
    lost = [search.gain(end) for search, end in pairs]
    return Stopped(
        **names, rule=name, searches=len(searches), saved=mean(1 - end / len(one.scores) for one, end in pairs),
        rows_saved=mean(1 - sum(one.lengths[:end]) / sum(one.lengths) for one, end in pairs), lost=mean(lost),
        within=mean(float(one <= WITHIN) for one in lost),
    )  # fmt: skip


def estimated(searches: Sequence[Search], after: int, **names: str) -> Estimated | None:
    """Return how the estimate compares with what followed; None where it was never known."""
    pairs = [(found, one.gain(after)) for one in searches if (found := one.estimate(after)) is not None]
    if not pairs:
        return None
    return Estimated(
        **names, by="sweep", after=after, searches=len(searches), known=len(pairs),
        expected=mean(gain.expected for gain, _ in pairs), real=mean(real for _, real in pairs),
        covered=mean(float(real <= gain.limit) for gain, real in pairs),
    )  # fmt: skip


def of_optuna(table: Table, runs: Sequence[Replayed], after: int, /, **names: str) -> Iterator[Estimated]:
    """Yield the estimates of `optuna.terminator`, from at least four completed trials."""
    import optuna
    from optuna.study import StudyDirection
    from optuna.terminator import EMMREvaluator, RegretBoundEvaluator

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    keys = {parameter.key: distribution(parameter) for parameter in table.space}
    found: dict[str, list[tuple[float, float]]] = {"regret bound": [], "expected minimum model regret": []}
    for run in runs:
        search = Search.of(table, run)
        trials = [
            optuna.trial.create_trial(
                params=dict(curve.params), distributions={key: keys[key] for key in curve.params}, value=score
            )
            for curve, score in zip(run.curves[:after], search.scores[:after], strict=True) if score is not None
        ]  # fmt: skip
        if len(trials) < 4:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bound = RegretBoundEvaluator(min_n_trials=4, seed=0).evaluate(trials, StudyDirection.MAXIMIZE)
            regret = EMMREvaluator(seed=0).evaluate(trials, StudyDirection.MAXIMIZE)
        found["regret bound"].append((float(bound), search.gain(after)))
        found["expected minimum model regret"].append((float(regret), search.gain(after)))
    for by, pairs in found.items():
        if pairs:
            yield Estimated(
                **names, by=by, after=after, searches=len(runs), known=len(pairs),
                expected=mean(one for one, _ in pairs), real=mean(real for _, real in pairs),
                covered=mean(float(real <= one) for one, real in pairs),
            )  # fmt: skip


def tables() -> tuple[Table, ...]:
    """Return all recorded tables."""
    return (*map(read, recorded()), five_knobs.read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--optuna", type=int, default=6, help="seeds of the estimates of optuna.terminator")
    asked = parser.parse_args()
    estimates, stops = list[Estimated](), list[Stopped]()
    for sampler in SAMPLERS:
        for pruner in PRUNERS:
            for table in tables():
                names = {"sampler": sampler, "pruner": pruner, "table": table.name}
                policy, trials = Policy(sampler, pruner), min(TRIALS, len(table.curves))
                stopping = StoppingRace() if pruner == "racing" else None
                runs = [replay(table, policy, trials=trials, seed=seed, pruner=stopping) for seed in range(asked.seeds)]
                searches = [Search.of(table, run) for run in runs]
                estimates += [one for after in AFTER if (one := estimated(searches, after, **names)) is not None]
                estimates += [one for after in AFTER for one in of_optuna(table, runs[: asked.optuna], after, **names)]
                stops += [stopped(searches, rule, **names) for rule in RULES]
            _show(sampler, pruner, estimates, stops)
    _write(estimates, stops)


def _show(sampler: str, pruner: str, estimates: Sequence[Estimated], stops: Sequence[Stopped]) -> None:
    """Print the means over all tables."""
    print(f"\n{sampler}, pruner {pruner}", flush=True)
    for by in dict.fromkeys(one.by for one in estimates):
        for after in AFTER:
            same = [
                one for one in estimates if (one.sampler, one.pruner, one.by, one.after) == (sampler, pruner, by, after)
            ]
            if same:
                known = sum(one.known for one in same) / sum(one.searches for one in same)
                print(
                    f"  {by}, after {after}: known in {known:.0%}, expected {100 * mean(one.expected for one in same):.2f} points, "
                    f"real {100 * mean(one.real for one in same):.2f}, covered {mean(one.covered or 0 for one in same):.0%}"
                )
    for rule in RULES:
        each = [one for one in stops if (one.sampler, one.pruner, one.rule) == (sampler, pruner, rule)]
        print(
            f"  {rule:24} trials saved {mean(one.saved for one in each):4.0%}, rows {mean(one.rows_saved for one in each):4.0%}, "
            f"lost {100 * mean(one.lost for one in each):.2f} points, within 0.2 points {mean(one.within for one in each):.0%}"
        )


def _write(estimates: Sequence[Estimated], stops: Sequence[Stopped]) -> None:
    found = {"estimates": [asdict(one) for one in estimates], "rules": [asdict(one) for one in stops]}
    write(RESULTS / "outlook.json", found)


if __name__ == "__main__":
    main()
