"""The test split: beside validation, for each label, and for each row."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.analysis.confusion import LabelScore, Mistake, label_scores, mistakes, rarest_first
from sweep.analysis.facts import Facts
from sweep.analysis.failures import Failures, failures
from sweep.analysis.inference import wilson
from sweep.records.final import FinalRecord


@dataclass(frozen=True, slots=True)
class BesideValidation:
    """The share of right rows on validation; `inside` the Wilson interval of test or not. `gap` is
    test less validation."""

    metric: str
    validation: float
    inside: bool
    gap: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """The effect of tuned thresholds on the test split, to which they could not have been
    fitted."""

    metric: str
    tuned: float
    untuned: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """`counts[i][j]` are rows of label i predicted as j, or, for a multi-label task, [TN, FP, FN,
    TP] of label i. `mistakes` (single-label) are the pairs of labels, most frequent first, `wrong`
    their rows. `labels` have the rarest one first."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    thresholds: tuple[float, ...]
    tuned: bool
    wrong: int
    missed: int
    added: int
    mistakes: tuple[Mistake, ...]
    labels: tuple[LabelScore, ...]


@dataclass(frozen=True, slots=True)
class Generalisation:
    """`rows` of the test split were read `readings` times in `seconds`. `selected_from` counts the
    completed trials that validation chose among."""

    rows: int
    readings: int
    seconds: float
    rows_per_second: float | None
    selected_from: int
    thresholds_tuned: bool
    refit: bool
    beside_validation: BesideValidation | None
    tuning: Tuning | None
    confusion: Confusion | None
    failures: Failures | None


def generalisation(facts: Facts) -> Generalisation | None:
    """Return what the test split says; None before it was read."""
    final = facts.final
    if final is None:
        return None
    return Generalisation(
        rows=final.test_rows,
        readings=final.test_readings,
        seconds=final.test_seconds,
        rows_per_second=final.test_rows / final.test_seconds if final.test_seconds > 0 else None,
        selected_from=len(facts.completed),
        thresholds_tuned=bool(final.tuned),
        refit=final.refit is not None,
        beside_validation=_beside_validation(facts, final),
        tuning=_tuning(final),
        confusion=confusions(facts, final) if final.confusion else None,
        failures=failures(facts, facts.predictions),
    )


def _beside_validation(facts: Facts, final: FinalRecord) -> BesideValidation | None:
    name = facts.proportion
    metrics = final.tuned or final.validation
    test, validation = final.test.get(f"test/{name}"), metrics.get(f"eval/{name}")
    if test is None or validation is None:
        return None
    low, high = wilson(test, final.test_rows)
    return BesideValidation(name, validation, low <= validation <= high, test - validation)


def _tuning(final: FinalRecord) -> Tuning | None:
    name = "test/f1_macro"
    tuned, untuned = final.test.get(name), final.untuned.get(name)
    return None if tuned is None or untuned is None else Tuning(name, tuned, untuned)


def confusions(facts: Facts, final: FinalRecord) -> Confusion:
    """Return what the counts of a final record say."""
    multi_label, data = facts.multi_label, facts.lock.data
    missed, added = (sum(cells[place] for cells in final.confusion) if multi_label else 0 for place in (2, 1))
    train_rows = data.label_rows.get("train", ()) if data.label_names == final.label_names else ()
    found = () if multi_label else mistakes(final.label_names, final.confusion)
    return Confusion(
        names=final.label_names,
        counts=final.confusion,
        thresholds=(final.thresholds or (0.5,) * len(final.label_names)) if multi_label else (),
        tuned=bool(final.tuned or final.untuned),
        wrong=sum(mistake.rows for mistake in found),
        missed=missed,
        added=added,
        mistakes=found,
        labels=rarest_first(label_scores(final, multi_label=multi_label, train_rows=train_rows)),
    )
