"""How the winner scored, with the model before training and with guessing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.config.metrics import better_when_lower
from sweep.config.schema import Task
from sweep.records.final import FinalRecord
from sweep.records.trial import Metrics
from sweep.report.facts import Facts
from sweep.report.inference import wilson
from sweep.report.markdown import escape, table
from sweep.report.tested import MAJORITY, Weighed
from sweep.report.units import MISSING, count, score, signed

AFTER, REFITTED, BEFORE = "after training", "after the refit", "before training"


@dataclass(frozen=True, slots=True)
class Line:
    """What `model` scores on `split`; metrics by short name, such as `accuracy`. `own` are the winner's, as it decides."""

    split: str
    model: str
    metrics: Mapping[str, float]
    own: bool = False


def lines(facts: Facts, final: FinalRecord) -> tuple[Line, ...]:
    """Validation first, then test; of each the trained model, the one before training, and guessing."""
    at, even, tested = _at(facts, final), ", thresholds 0.5", REFITTED if final.refit else AFTER
    reached = _of("eval", final.retrain_best.metrics)
    found = [
        Line("validation", f"{AFTER}{even}" if final.tuned else f"{AFTER}{at}", reached, own=not final.tuned),
        Line("validation", f"{AFTER}{at}", _of("eval", final.tuned), own=True),
        *_references(facts, final, "validation", "eval"),
        Line("test", f"{tested}{at}", _of("test", final.test), own=True),
        Line("test", f"{tested}{even}", _of("test", final.untuned)),
        *_references(facts, final, "test", "test"),
    ]
    return tuple(line for line in found if line.metrics)


def guess(task: Task) -> str:
    """The classifier that always answers the same."""
    return MAJORITY[task]


def overview(facts: Facts, final: FinalRecord, names: Sequence[str]) -> str:
    """One row a model and split, one column a metric."""
    rows = []
    for line in lines(facts, final):
        row = [line.split, escape(line.model), *(score(line.metrics.get(name)) for name in names)]
        rows.append([f"**{cell}**" if cell != MISSING else cell for cell in row] if line.own else row)
    return table(["split", "model", *names], rows)


def against(facts: Facts, final: FinalRecord, names: Sequence[str]) -> str:
    """Test, and what it is held against. Differences are signed so that above 0 is better."""
    ours, *others = sorted(lines(facts, final), key=lambda line: line.split != "test")
    held = [line for line in others if line.split == "test" or line.own]
    rows = [[_titled(line), *(score(line.metrics.get(name)) for name in names)] for line in (ours, *held)]
    differences = [
        [f"test against {_short(line)}", *(_gain(name, ours.metrics, line.metrics) for name in names)] for line in held
    ]
    return table(["what", *names], [*rows, *differences])


def every(facts: Facts, final: FinalRecord, names: Sequence[str]) -> str:
    """One row a metric, one column a model and split."""
    found = lines(facts, final)
    rows = [[name, *(score(line.metrics.get(name)) for line in found)] for name in names]
    return table(["metric", *(_titled(line) for line in found)], rows)


def intervals(facts: Facts, final: FinalRecord) -> tuple[tuple[str, float, tuple[float, float]], ...]:
    """Metric, test score and 95 % interval: of what was searched for, and of the share of right rows."""
    tested = facts.tested
    sought = facts.metric.removeprefix("eval/")
    found = []
    for name in dict.fromkeys((sought, facts.proportion)):
        measured, between = final.test.get(f"test/{name}"), tested.interval(name) if tested else None
        if measured is not None and between is not None:
            found.append((name, measured, between))
    return tuple(found)


def interval(facts: Facts, final: FinalRecord) -> str:
    """`test/accuracy 0.9351 (95 % interval 0.9258 to 0.9432, 3,080 rows)`, of each metric of `intervals`."""
    return " and ".join(
        f"test/{name} {score(measured)} (95 % interval {score(low)} to {score(high)}, {count(final.test_rows)} rows)"
        for name, measured, (low, high) in intervals(facts, final)
    )


def tested_as(facts: Facts, final: FinalRecord) -> str:
    """What was searched for, measured on test, and the share of right rows, with their intervals."""
    sought = facts.metric.removeprefix("eval/")
    known = [name for name, _, _ in intervals(facts, final)]
    alone = f"test/{sought} {score(final.test[f'test/{sought}'])}" if f"test/{sought}" in final.test else ""
    parts = (alone if sought not in known else "", interval(facts, final))
    return " and ".join(part for part in parts if part) or "see below"


def beside_refit(final: FinalRecord) -> str:
    """Whose scores stand side by side; empty without a refit."""
    if final.refit is None:
        return ""
    return (
        f"The model tested and kept was refitted on train and validation rows together ({count(final.refit.rows)}), so no "
        "validation score of it exists. The validation scores beside its test scores are of the same configuration trained "
        "on the train rows alone."
    )


def beside_guessing(facts: Facts) -> str:
    """The winner beside the best guess, in what was searched for; empty where there is nothing to compare."""
    found = against_guessing(facts)
    if found is None:
        return ""
    verdict = {1: "Better than guessing", 0: "No better than guessing", -1: "Worse than guessing"}[found.better]
    low, high = found.difference_interval
    tried = len(facts.tested.guesses) if facts.tested else 0
    best = (
        f", the best of {tried} ways to guess without reading the text" if tried > 1 else ", without reading the text"
    )
    return (
        f"**{verdict}** in {found.metric.replace('_', ' ')}: {score(found.value)} ({_between(found.interval)}) against "
        f"{score(found.guess_value)} ({_between(found.guess_interval)}) of the {found.guess}{best}; the difference is "
        f"{signed(found.difference)} ({signed(low)} to {signed(high)}). Intervals are of 95 %."
    )


def against_guessing(facts: Facts) -> Weighed | None:
    """In what was searched for, or, where no interval of that is known, in the share of right rows."""
    if facts.tested is None:
        return None
    sought = facts.metric.removeprefix("eval/")
    return facts.tested.weighed(sought) or facts.tested.weighed(facts.proportion)


def _between(interval: tuple[float, float]) -> str:
    return f"{score(interval[0])} to {score(interval[1])}"


def beside_before(facts: Facts, final: FinalRecord) -> str:
    """Empty where the model could not classify before it was trained."""
    name = f"test/{facts.proportion}"
    measured, before = final.test.get(name), final.before.get(name)
    if measured is None or before is None:
        return ""
    low, high = wilson(measured, final.test_rows)
    said = f"before training the same model scored {score(before)} ({signed(measured - before)} since)"
    if before < low:
        return f"**Training helped**: {said}, below the interval."
    if before <= high:
        return f"**Training changed little**: {said}, and the interval includes that."
    return f"**Training did harm**: {said}, above the interval."


def _references(facts: Facts, final: FinalRecord, split: str, prefix: str) -> tuple[Line, Line]:
    before, baseline = (_of(prefix, metrics) for metrics in (final.before, final.baseline))
    return Line(split, BEFORE, before), Line(split, guess(facts.config.dataset.task), baseline)


def _of(prefix: str, metrics: Metrics) -> dict[str, float]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in metrics.items() if name.startswith(f"{prefix}/")}


def _at(facts: Facts, final: FinalRecord) -> str:
    """Words on the thresholds, where they are not the usual 0.5."""
    if not facts.multi_label:
        return ""
    if final.tuned or final.untuned:
        return ", tuned thresholds"
    threshold = final.config.trainer.decision_threshold
    return f", threshold {threshold}" if threshold != 0.5 else ""


def _titled(line: Line) -> str:
    return f"{line.split}, {line.model}"


def _short(line: Line) -> str:
    return line.model.rpartition(", ")[2] if line.split == "test" else line.split


def _gain(name: str, measured: Mapping[str, float], reference: Mapping[str, float]) -> str:
    if name not in measured or name not in reference:
        return MISSING
    difference = measured[name] - reference[name]
    return signed(-difference if better_when_lower(f"test/{name}") else difference)
