"""How the winner scored, with the model before training and with guessing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.config.metrics import better_when_lower
from sweep.config.schema import Task
from sweep.records import FinalRecord, Metrics
from sweep.report.facts import Facts
from sweep.report.inference import wilson
from sweep.report.markdown import escape, table
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
    """The classifier that does not look at the text."""
    return "majority class" if task == "single_label" else "most frequent value of each label"


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


def interval(facts: Facts, final: FinalRecord) -> str:
    """`test/accuracy 0.9351 (95 % interval 0.9258 to 0.9432, 3,080 rows)`."""
    name = f"test/{facts.proportion}"
    measured = final.test.get(name)
    if measured is None:
        return ""
    low, high = wilson(measured, final.test_rows)
    return f"{name} {score(measured)} (95 % interval {score(low)} to {score(high)}, {count(final.test_rows)} rows)"


def tested_as(facts: Facts, final: FinalRecord) -> str:
    """What was searched for, measured on test; then the share of rows, which has an interval."""
    name = f"test/{facts.metric.removeprefix('eval/')}"
    sought = "" if name == f"test/{facts.proportion}" or name not in final.test else f"{name} {score(final.test[name])}"
    return " and ".join(part for part in (sought, interval(facts, final)) if part) or "see below"


def beside_refit(final: FinalRecord) -> str:
    """Whose scores stand side by side; empty without a refit."""
    if final.refit is None:
        return ""
    return (
        f"The model tested and kept was refitted on train and validation rows together ({count(final.refit.rows)}), so no "
        "validation score of it exists. The validation scores beside its test scores are of the same configuration trained "
        "on the train rows alone."
    )


def beside_guessing(facts: Facts, final: FinalRecord) -> str:
    """Empty where there is nothing to compare."""
    name = f"test/{facts.proportion}"
    measured, rule = final.test.get(name), final.baseline.get(name)
    if measured is None or rule is None:
        return ""
    low, high = wilson(measured, final.test_rows)
    what = f"the {guess(facts.config.dataset.task)} scores {score(rule)} without looking at the text"
    known = facts.proportion.replace("_", " ")
    if rule < low:
        said = (
            f"**Better than guessing** in {known}: {what}, below the interval ({signed(measured - rule)} against it)."
        )
    elif rule <= high:
        said = f"**No better than guessing** in {known}: {what}, and the interval includes that."
    else:
        said = f"**Worse than guessing** in {known}: {what}, above the interval ({signed(measured - rule)} against it)."
    return said + _objective(facts, final)


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


def _objective(facts: Facts, final: FinalRecord) -> str:
    """The same comparison in what was searched for, where that is no share of rows and has no interval."""
    name = facts.metric.removeprefix("eval/")
    measured, rule = final.test.get(f"test/{name}"), final.baseline.get(f"test/{name}")
    if name == facts.proportion or measured is None or rule is None:
        return ""
    return f" In {name} it scores {score(measured)} against {score(rule)}."


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
