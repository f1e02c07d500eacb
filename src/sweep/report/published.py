"""What others reported for this experiment, beside what was measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sweep.config.schema import PublishedConfig, PublishedTrial, Scalar
from sweep.records.final import FinalRecord
from sweep.records.trial import TrialRecord
from sweep.report.facts import Facts, Point, made
from sweep.report.markdown import bullets, code, escape, join, table
from sweep.report.units import MISSING, count, flops, plural, score, signed, value

_LAST = "Scores are those of the last evaluation unless they are said to be of the best one."
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
            *_final(facts, known),
            "### What differs",
            bullets(_differences(facts, known, matched)),
        ]
    )


def matches(known: PublishedConfig, trials: Sequence[TrialRecord]) -> tuple[TrialRecord | None, ...]:
    """For each published trial the first measured one with the same values; it may have more values, not fewer."""
    return tuple(next((one for one in trials if _same(entry.params, one.params)), None) for entry in known.trials)


def _trials(facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]) -> list[str]:
    match known.trials:
        case ():
            return []
        case (entry,):
            trial = matched[0] or facts.best
            shown = [] if trial is None else ["### The published setting", _side_by_side(facts, "", entry, trial)]
            return [*shown, *_by_epoch(facts, known.trials, [trial])]
        case _:
            return [*_several(facts, known, matched), *_by_epoch(facts, known.trials, matched), *_best(facts, known)]


def _several(facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]) -> list[str]:
    keys = list(dict.fromkeys(key for entry in known.trials for key in entry.params))
    kinds = list(dict.fromkeys(kind for entry in known.trials for kind, _ in _scores(facts, entry, None)))
    columns = ["published trial", *(facts.title(key) for key in keys), "measured trial"]
    columns += [title for kind in kinds for title in (f"{kind}, published", "measured")]
    rows = []
    for number, (entry, trial) in enumerate(zip(known.trials, matched, strict=True)):
        scores = dict(_scores(facts, entry, trial))
        cells = [f"{number} (best)" if number == known.best_trial else str(number)]
        cells += [escape(value(entry.params[key])) if key in entry.params else MISSING for key in keys]
        cells.append(str(trial.number) if trial else "not run")
        cells += [score(one) for kind in kinds for one in scores.get(kind, (None, None))]
        rows.append(cells)
    ran = sum(trial is not None for trial in matched)
    said = f"{ran} of {plural(len(known.trials), 'published trial')} ran here with the same values. {_LAST}"
    return ["### Trials", said, table(columns, rows)]


def _scores(
    facts: Facts, entry: PublishedTrial, trial: TrialRecord | None
) -> list[tuple[str, tuple[float, float | None]]]:
    """What each published score is, and its value there and in `trial`."""
    last, best = _last(facts, trial), _best_metrics(facts, trial)
    return [
        *((name, (wanted, last.get(name))) for name, wanted in entry.eval.items()),
        *((f"{name}, best", (wanted, best.get(name))) for name, wanted in entry.best.items()),
    ]


def _side_by_side(facts: Facts, which: str, entry: PublishedTrial, trial: TrialRecord) -> str:
    rows = []
    for key in dict.fromkeys([*entry.params, *trial.params]):
        pair = (_given(entry.params, key), _given(trial.params, key))
        rows.append([code(key), *pair, _difference(entry.params.get(key), trial.params.get(key))])
    for kind, (wanted, found) in _scores(facts, entry, trial):
        rows.append([kind, _reported(wanted), score(found), _minus(found, wanted)])
    return table(["what", f"published{which}", f"measured, trial {trial.number}", "difference"], rows)


def _by_epoch(facts: Facts, entries: Sequence[PublishedTrial], matched: Sequence[TrialRecord | None]) -> list[str]:
    names = list(dict.fromkeys(name for entry in entries for name in entry.eval_by_epoch))
    parts = []
    for name in names:
        labelled: list[tuple[str, str, Sequence[float | None]]] = []
        for number, (entry, trial) in enumerate(zip(entries, matched, strict=True)):
            if reported := entry.eval_by_epoch.get(name, ()):
                labelled.append((str(number), "published", reported))
            if trial is not None:
                labelled.append((str(number), f"measured (trial {trial.number})", _ends(facts, trial, name)))
        longest = max(len(values) for *_, values in labelled)
        rows = [[number, who, *_padded(values, longest)] for number, who, values in labelled]
        parts += [f"{name}, epoch by epoch:", table(["published trial", name, *_epochs(longest)], rows)]
    return parts


def _ends(facts: Facts, trial: TrialRecord, name: str) -> Sequence[float | None]:
    """The metric at the end of each epoch; None where there was no evaluation then."""
    found = {point.eval.epoch: point.metric(name) for point in _points(facts, trial)}
    return [found.get(epoch) for epoch in range(1, math.floor(max(found, default=0)) + 1)]


def _best(facts: Facts, known: PublishedConfig) -> list[str]:
    if known.best_trial is None or known.best_trial >= len(known.trials) or facts.best is None:
        return []
    entry = known.trials[known.best_trial]
    compared = _side_by_side(facts, f", trial {known.best_trial}", entry, facts.best)
    return ["### Best trial", _LAST, compared]


def _final(facts: Facts, known: PublishedConfig) -> list[str]:
    final = facts.final
    if final is None:
        return ["Retraining and test are still missing here, so the published final figures have nothing beside them."]
    return [*_training(facts, known, final), *_losses(facts, known, final), *_tests(known, final)]


def _training(facts: Facts, known: PublishedConfig, final: FinalRecord) -> list[str]:
    train, cost, held = known.train, final.cost, final.parameters
    lasted, logged = cost.train_seconds + cost.eval_seconds, _logged(facts, final)
    rows = [
        ["parameters", count(known.parameters.total), count(held.total)],
        ["parameters trained", count(known.parameters.trainable), count(held.trainable)],
        ["device", escape(known.device) or MISSING, escape(cost.device) or MISSING],
        ["steps", count(train.steps), count(cost.steps)],
        ["seconds, with evaluations", score(train.seconds, 2), score(lasted, 2)],
        ["seconds an epoch", score(train.seconds_per_epoch, 2), _per(lasted, final.retrain_evals[-1].epoch, 2)],
        ["samples/s, with evaluations", score(train.samples_per_second, 3), _per(cost.samples, lasted)],
        ["steps/s, with evaluations", score(train.steps_per_second, 3), _per(cost.steps, lasted)],
        ["evaluation, samples/s", score(known.eval_samples_per_second, 2), score(cost.eval_samples_per_second, 2)],
        ["FLOPs", flops(train.flops), flops(cost.flops)],
        ["training loss", score(train.train_loss), score(cost.train_loss)],
        ["training loss, first logged", score(train.train_loss_first), score(logged[0][1] if logged else None)],
        ["training loss, last logged", score(train.train_loss_last), score(logged[-1][1] if logged else None)],
    ]
    shown = [row for row in rows if row[1] != MISSING]
    return ["### Final training", table(["what", "published", "measured"], shown)] if shown else []


def _losses(facts: Facts, known: PublishedConfig, final: FinalRecord) -> list[str]:
    reported = known.train.train_loss_by_epoch
    if not reported:
        return []
    measured = _means(facts, final)
    longest = max(len(reported), len(measured))
    rows = [["published", *_padded(reported, longest)], ["measured", *_padded(measured, longest)]]
    said = "Training loss, epoch by epoch (measured: the mean of what was logged in each):"
    return [said, table(["training loss", *_epochs(longest)], rows)]


def _means(facts: Facts, final: FinalRecord) -> Sequence[float | None]:
    """The mean training loss of each epoch that the winner's trial went through; None where none was logged in it."""
    logged, means = _logged(facts, final), []
    for epoch in range(1, math.floor(final.trial_evals[-1].epoch) + 1):
        losses = [loss for at, loss in logged if epoch - 1 < at <= epoch]
        means.append(math.fsum(losses) / len(losses) if losses else None)
    return means


def _tests(known: PublishedConfig, final: FinalRecord) -> list[str]:
    before = [
        [
            f"{name}, before fine-tuning",
            score(wanted),
            score(final.before.get(name)),
            _minus(final.before.get(name), wanted),
        ]
        for name, wanted in known.before.items()
    ]
    tests = [
        [name, _reported(wanted), score(final.test.get(name)), _minus(final.test.get(name), wanted)]
        for name, wanted in known.test.items()
    ]
    if known.test_seconds is not None:
        tests.append(["seconds", score(known.test_seconds, 2), score(final.test_seconds, 2), MISSING])
    if known.test_samples_per_second is not None:
        speed = _per(final.test_rows, final.test_seconds)
        tests.append(["samples/s", score(known.test_samples_per_second, 2), speed, MISSING])
    columns = ["what", "published", "measured", "difference"]
    return [
        *(["### Before fine-tuning", table(columns, before)] if before else []),
        *(["### Test", table(columns, tests)] if tests else []),
    ]


def _logged(facts: Facts, final: FinalRecord) -> list[tuple[float, float]]:
    """Epochs and training losses of the winner's trial, whose retraining repeats it."""
    rows = ((row.epoch, row.metrics.get("train/loss")) for row in facts.training.get(final.number, ()))
    return [(epoch, loss) for epoch, loss in rows if loss is not None]


def _differences(facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]) -> list[str]:
    lines = []
    here = f"{code(facts.lock.model.path)}{made(facts.config.model)}"
    if known.model and here != code(known.model):
        lines.append(f"Model: published with {code(known.model)}, measured with {here}.")
    for split, rows in known.rows.items():
        held = facts.lock.data.rows.get(split)
        if held != rows:
            lines.append(f"Rows of {escape(split)}: published {count(rows)}, here {count(held)}.")
    if known.rows and not any(line.startswith("Rows of") for line in lines):
        same = ", ".join(f"{escape(split)} {count(rows)}" for split, rows in known.rows.items())
        lines.append(f"Rows are as published: {same}.")
    absent = [str(number) for number, trial in enumerate(matched) if trial is None]
    if absent and len(known.trials) == 1:
        lines.append("No trial here has all values of the published one.")
    elif absent:
        lines.append(f"Published trials that did not run here with their own values: {', '.join(absent)}.")
    if len(facts.trials) != len(known.trials) and known.trials:
        lines.append(f"Trials: published {len(known.trials)}, here {len(facts.trials)}.")
    if len(known.trials) == 1 and facts.best is not None and matched[0] not in (None, facts.best):
        found = f"trial {facts.best.number}, {facts.metric} {score(facts.score(facts.best))}"
        lines.append(f"The search found a better setting than the published one: {found}.")
    lines += [_largest(facts, known, matched)] if any(matched) and len(known.trials) > 1 else []
    lines += [_test_gap(facts, known)] if facts.final and known.test else []
    if facts.final and facts.final.refit:
        lines.append(
            "The test scores here are of the refit on train and validation rows; the figures of the final training are of "
            "the retraining on train rows alone."
        )
    if known.notes:
        lines.append(escape(known.notes))
    return [line for line in lines if line]


def _largest(facts: Facts, known: PublishedConfig, matched: Sequence[TrialRecord | None]) -> str:
    gaps = [
        (abs(measured - reported), number, name, measured - reported)
        for number, (entry, trial) in enumerate(zip(known.trials, matched, strict=True))
        for name, (reported, measured) in _scores(facts, entry, trial)
        if measured is not None and math.isfinite(measured)
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


def _best_metrics(facts: Facts, trial: TrialRecord | None) -> Mapping[str, float]:
    best = facts.best_eval(trial) if trial else None
    return best.metrics if best else {}


def _points(facts: Facts, trial: TrialRecord | None) -> tuple[Point, ...]:
    return facts.points[trial.number] if trial else ()


def _same(wanted: Mapping[str, Scalar], found: Mapping[str, Scalar]) -> bool:
    return bool(wanted) and all(key in found and _equal(wanted[key], found[key]) for key in wanted)


def _equal(first: Scalar, second: Scalar) -> bool:
    numbers = isinstance(first, int | float) and isinstance(second, int | float)
    return math.isclose(first, second, rel_tol=_SAME) if numbers else first == second  # type: ignore[arg-type]


def _reported(wanted: float) -> str:
    """With all of its digits, and at least as many as what was measured is shown with."""
    return score(wanted, max(4, len(str(wanted).partition(".")[2])))


def _given(params: Mapping[str, Scalar], key: str) -> str:
    return escape(value(params[key])) if key in params else MISSING


def _difference(first: Scalar, second: Scalar) -> str:
    if isinstance(first, int | float) and isinstance(second, int | float):
        return "0" if _equal(first, second) else f"{second - first:+.4g}"
    return MISSING


def _minus(measured: float | None, reported: float | None) -> str:
    return signed(measured - reported) if measured is not None and reported is not None else MISSING


def _per(amount: float, duration: float, digits: int = 3) -> str:
    return f"{amount / duration:,.{digits}f}" if duration > 0 else MISSING


def _epochs(number: int) -> list[str]:
    return [f"epoch {index + 1}" for index in range(number)]


def _padded(values: Sequence[float | None], length: int) -> list[str]:
    return [*map(score, values), *[MISSING] * (length - len(values))]
