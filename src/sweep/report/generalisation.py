"""What the test split says: against validation, against guessing, label by label, and row by row."""

from __future__ import annotations

from collections.abc import Set

from sweep.records.final import FinalRecord
from sweep.report import tables
from sweep.report.facts import Facts
from sweep.report.failures import failures
from sweep.report.inference import wilson
from sweep.report.markdown import bullets, details, join
from sweep.report.mistaken import confused, labels
from sweep.report.scores import against, every, guess, interval, intervals
from sweep.report.units import count, plural, score, seconds, signed


def generalisation(facts: Facts, drawn: Set[str]) -> str:
    final = facts.final
    if final is None:
        return ""
    found = [final.retrain_best.metrics, final.test]
    return join(
        [
            "## On the test split",
            against(facts, final, tables.shown_metrics(facts, found)),
            "Differences are signed so that above 0 is better on test, for the loss too.",
            details("Every metric", body=[every(facts, final, tables.every_metric(facts, found))]),
            bullets(line for line in _said(facts, final) if line),
            confused(facts, final, drawn) if final.confusion else "",
            labels(facts, final) if final.confusion else "",
            failures(facts, final),
        ]
    )


def _said(facts: Facts, final: FinalRecord) -> list[str]:
    speed = f" ({final.test_rows / final.test_seconds:,.2f} rows a second)" if final.test_seconds > 0 else ""
    return [
        _intervals(facts, final),
        _beside_validation(facts, final),
        _tuning(final),
        f"The test took {seconds(final.test_seconds)}{speed}; the {guess(facts.config.dataset.task)} is that of the training rows.",
    ]


def _intervals(facts: Facts, final: FinalRecord) -> str:
    found = intervals(facts, final)
    if not found:
        return ""
    by = [
        "Wilson's score interval" if name == facts.proportion else "bootstrap over the test rows"
        for name, _, _ in found
    ]
    return f"{interval(facts, final)}, by {' and '.join(by)}."


def _beside_validation(facts: Facts, final: FinalRecord) -> str:
    name = facts.proportion
    metrics = final.tuned or final.retrain_best.metrics
    test, validation = final.test.get(f"test/{name}"), metrics.get(f"eval/{name}")
    if test is None or validation is None:
        return ""
    low, high = wilson(test, final.test_rows)
    inside = "inside" if low <= validation <= high else "outside"
    apart = "equal to it" if test == validation else f"{signed(test - validation)} against it"
    chose = f"one of {plural(len(facts.completed), 'completed trial')} and" if len(facts.completed) > 1 else ""
    whose = " of the model trained on the train rows alone" if final.refit else ""
    return (
        f"Validation {name}, {score(validation)}{whose}, lies {inside} the interval of test; test is {apart}. Validation chose "
        f"{f'{chose} ' if chose else ''}the best epoch{_also(final)}, which favours it."
    )


def _also(final: FinalRecord) -> str:
    return " and the thresholds" if final.tuned else ""


def _tuning(final: FinalRecord) -> str:
    """What tuned thresholds brought on test, where they could not have been fitted."""
    name = "test/f1_macro"
    tuned, untuned = final.test.get(name), final.untuned.get(name)
    if tuned is None or untuned is None:
        return ""
    if tuned == untuned:
        return f"Tuned thresholds changed nothing in {name}: {score(tuned)}."
    verb = "raised" if tuned > untuned else "lowered"
    return (
        f"Tuned thresholds {verb} {name} from {score(untuned)} at 0.5 to {score(tuned)}, {count(final.test_rows)} rows."
    )
