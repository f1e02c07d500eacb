"""What others reported for this experiment, beside what was measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sweep.config.schema import PublishedConfig, PublishedTrial, Scalar
from sweep.records import TrialRecord
from sweep.report.facts import Facts, Point
from sweep.report.markdown import bullets, code, escape, join, table
from sweep.report.units import MISSING, count, flops, plural, score, signed, value

_SAME = 1e-6  # relative difference below which a searched number is the published one


def published(facts: Facts) -> str:
    known = facts.config.published
    if known is None:
        return ""
    matched = matches(known, facts.trials)
    source = f"Published: {escape(known.source)}." if known.source else ""
    return join(
        [
            "## Published beside measured",
            source,
            *_trials(facts, known, matched),
            *_best(facts, known),
            *_final(facts, known),
            "### What differs",
            bullets(_differences(facts, known, matched)),
        ]
    )


def matches(known: PublishedConfig, trials: Sequence[TrialRecord]) -> tuple[TrialRecord | None, ...]:
    """For each published trial the first measured one with the same values; it may have more values, not fewer."""
    return tuple(next((one for one in trials if _same(entry.params, one.params)), None) for entry in known.trials)


def _trials(facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]) -> list[str]:
    if not known.trials:
        return []
    keys = list(dict.fromkeys(key for entry in known.trials for key in entry.params))
    names = list(dict.fromkeys(name for entry in known.trials for name in entry.eval))
    columns = ["published trial", *(facts.title(key) for key in keys), "measured trial"]
    columns += [title for name in names for title in (f"{name}, published", "measured")]
    rows = []
    for number, (entry, trial) in enumerate(zip(known.trials, matched, strict=True)):
        last = _last(facts, trial)
        cells = [f"{number} (best)" if number == known.best_trial else str(number)]
        cells += [escape(value(entry.params[key])) if key in entry.params else MISSING for key in keys]
        cells.append(str(trial.number) if trial else "not run")
        cells += [score(metrics.get(name)) for name in names for metrics in (entry.eval, last)]
        rows.append(cells)
    ran = sum(trial is not None for trial in matched)
    said = (
        f"{ran} of {plural(len(known.trials), 'published trial')} ran here with the same values. Scores are those of "
        "the last evaluation, as published."
    )
    return ["### Trials", said, table(columns, rows), *_by_epoch(facts, known.trials, matched)]


def _by_epoch(facts: Facts, entries: Sequence[PublishedTrial], matched: Sequence[TrialRecord | None]) -> list[str]:
    names = list(dict.fromkeys(name for entry in entries for name in entry.eval_by_epoch))
    parts = []
    for name in names:
        pairs = zip(entries, matched, strict=True)
        longest = max(max(len(entry.eval_by_epoch.get(name, ())), len(_points(facts, one))) for entry, one in pairs)
        rows = []
        for number, (entry, trial) in enumerate(zip(entries, matched, strict=True)):
            reported = entry.eval_by_epoch.get(name, ())
            if reported:
                rows.append([str(number), "published", *_padded(reported, longest)])
            if trial is not None:
                measured = [point.metric(name) for point in _points(facts, trial)]
                rows.append([str(number), f"measured (trial {trial.number})", *_padded(measured, longest)])
        columns = [
            "published trial",
            name,
            *(f"evaluation {index + 1}" for index in range(longest)),
        ]
        parts += [f"{name}, evaluation by evaluation:", table(columns, rows)]
    return parts


def _best(facts: Facts, known: PublishedConfig) -> list[str]:
    if known.best_trial is None or known.best_trial >= len(known.trials) or facts.best is None:
        return []
    entry, best = known.trials[known.best_trial], facts.best
    rows = []
    for key in dict.fromkeys([*entry.params, *best.params]):
        pair = (_given(entry.params, key), _given(best.params, key))
        rows.append([code(key), *pair, _difference(entry.params.get(key), best.params.get(key))])
    last = _last(facts, best)
    for name, reported in entry.eval.items():
        rows.append([name, score(reported), score(last.get(name)), _minus(last.get(name), reported)])
    columns = [
        "what",
        f"published, trial {known.best_trial}",
        f"measured, trial {best.number}",
        "difference",
    ]
    return ["### Best trial", "Scores are again those of the last evaluation.", table(columns, rows)]


def _final(facts: Facts, known: PublishedConfig) -> list[str]:
    final, train = facts.final, known.train
    if final is None:
        return ["Retraining and test are still missing here, so the published final figures have nothing beside them."]
    cost = final.cost
    lasted = cost.train_seconds + cost.eval_seconds
    rows = [
        ["steps", count(train.steps), count(cost.steps)],
        ["seconds, with evaluations", score(train.seconds, 2), score(lasted, 2)],
        ["samples/s, with evaluations", score(train.samples_per_second, 3), _per(cost.samples, lasted)],
        ["steps/s, with evaluations", score(train.steps_per_second, 3), _per(cost.steps, lasted)],
        ["FLOPs", flops(train.flops), flops(cost.flops)],
        ["training loss", score(train.train_loss), score(cost.train_loss)],
    ]
    shown = [row for row in rows if row[1] != MISSING]
    tests = [
        [name, score(wanted), score(final.test.get(name)), _minus(final.test.get(name), wanted)]
        for name, wanted in known.test.items()
    ]
    if known.test_seconds is not None:
        tests.append(["seconds", score(known.test_seconds, 2), score(final.test_seconds, 2), MISSING])
    if known.test_samples_per_second is not None:
        speed = _per(final.test_rows, final.test_seconds)
        tests.append(["samples/s", score(known.test_samples_per_second, 2), speed, MISSING])
    parts = []
    if shown:
        parts += ["### Final training", table(["what", "published", "measured"], shown)]
    if tests:
        parts += ["### Test", table(["what", "published", "measured", "difference"], tests)]
    return parts


def _differences(facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]) -> list[str]:
    lines = []
    if known.model and known.model != facts.lock.model.path:
        lines.append(f"Model: published with {code(known.model)}, measured with {code(facts.lock.model.path)}.")
    for split, rows in known.rows.items():
        here = facts.lock.data.rows.get(split)
        if here != rows:
            lines.append(f"Rows of {escape(split)}: published {count(rows)}, here {count(here)}.")
    if known.rows and not any(line.startswith("Rows of") for line in lines):
        same = ", ".join(f"{escape(split)} {count(rows)}" for split, rows in known.rows.items())
        lines.append(f"Rows are as published: {same}.")
    absent = [str(number) for number, trial in enumerate(matched) if trial is None]
    if absent:
        lines.append(
            f"{plural(len(absent), 'published trial')} not run with the published values: {', '.join(absent)}."
        )
    if len(facts.trials) != len(known.trials) and known.trials:
        lines.append(f"Trials: published {len(known.trials)}, here {len(facts.trials)}.")
    lines += [_largest(facts, known, matched)] if any(matched) else []
    lines += [_test_gap(facts, known)] if facts.final and known.test else []
    if known.notes:
        lines.append(escape(known.notes))
    return [line for line in lines if line]


def _largest(facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]) -> str:
    gaps = [
        (abs(measured - reported), number, name, measured - reported)
        for number, (entry, trial) in enumerate(zip(known.trials, matched, strict=True))
        for name, reported in entry.eval.items()
        if (measured := _last(facts, trial).get(name)) is not None and math.isfinite(measured)
    ]
    if not gaps:
        return ""
    _, number, name, gap = max(gaps)
    return f"Largest difference among the trials that ran: {signed(gap)}, in {name} of published trial {number}."


def _test_gap(facts: Facts, known: PublishedConfig) -> str:
    assert facts.final is not None
    measured = facts.final.test
    gaps = [f"{name} {signed(measured[name] - wanted)}" for name, wanted in known.test.items() if name in measured]
    return f"On test, measured minus published: {', '.join(gaps)}." if gaps else ""


def _last(facts: Facts, trial: TrialRecord | None) -> Mapping[str, float]:
    points = _points(facts, trial)
    return points[-1].eval.metrics if points else {}


def _points(facts: Facts, trial: TrialRecord | None) -> tuple[Point, ...]:
    return facts.points[trial.number] if trial else ()


def _same(wanted: Mapping[str, Scalar], found: Mapping[str, Scalar]) -> bool:
    return bool(wanted) and all(key in found and _equal(wanted[key], found[key]) for key in wanted)


def _equal(first: Scalar, second: Scalar) -> bool:
    numbers = isinstance(first, int | float) and isinstance(second, int | float)
    return math.isclose(first, second, rel_tol=_SAME) if numbers else first == second  # type: ignore[arg-type]


def _given(params: Mapping[str, Scalar], key: str) -> str:
    return escape(value(params[key])) if key in params else MISSING


def _difference(first: Scalar, second: Scalar) -> str:
    if isinstance(first, int | float) and isinstance(second, int | float):
        return "0" if _equal(first, second) else f"{second - first:+.4g}"
    return MISSING


def _minus(measured: float | None, reported: float | None) -> str:
    return signed(measured - reported) if measured is not None and reported is not None else MISSING


def _per(amount: float, duration: float) -> str:
    return f"{amount / duration:,.3f}" if duration > 0 else MISSING


def _padded(values: Sequence[float | None], length: int) -> list[str]:
    return [*map(score, values), *[MISSING] * (length - len(values))]
