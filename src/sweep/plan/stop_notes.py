"""Notes and lines of a plan on the rules of `study.stop`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.config.schema import Config, StudyConfig
from sweep.config.space import Space
from sweep.plan.pausing import trained_part
from sweep.search.gain import LEAST_TRIALS
from sweep.search.pruners import trials_of_each


def idle_stop(corners: Sequence[Config], space: Space, scored: int) -> Iterator[str]:
    """Yield a note on each rule that cannot end the search before it has all its trials."""
    study = corners[0].study
    trials, stop = trials_of_each(study, space), study.stop
    each = f" of each {study.compare_by}" if study.compare_by else ""
    if study.n_trials == 1:
        return
    if stop.patience is not None and stop.patience >= trials:
        yield f"study.stop.patience is {stop.patience}, which ends no search of {_count(trials)}{each}"
    if stop.on and (part := trained_part(corners, space, scored)) < 1:
        yield (
            f"study.stop is set, but study.pruner={study.pruner} begins all {trials} trials{each} before one completes, and "
            f"trains at most {100 * part:.0f} % of their steps in all: a rule saves what is left of these when it holds, and "
            "no trial; with study.pruner=median it saves whole trials"
        )
    if stop.expected_gain is not None and trials <= LEAST_TRIALS:
        yield (
            f"study.stop.expected_gain is {stop.expected_gain}, but is known from {LEAST_TRIALS} trials on, and ends no "
            f"search of {_count(trials)}{each}"
        )


def stop_line(study: StudyConfig) -> list[str]:
    """Return a line of a dry run on the rules; none without rules."""
    stop, rules = study.stop, list[str]()
    if stop.patience is not None:
        rules.append(f"{_count(stop.patience)} in a row brought no better {study.metric}")
    if stop.expected_gain is not None:
        amount = "its standard error" if stop.expected_gain == "error" else f"{stop.expected_gain:g}"
        rules.append(f"those left are expected to better the best {study.metric} by less than {amount}")
    each = f", for each {study.compare_by}" if study.compare_by else ""
    return [f"no further trial starts once {' or '.join(rules)}{each}"] if rules else []


def _count(trials: int) -> str:
    return f"{trials} trial{'' if trials == 1 else 's'}"
