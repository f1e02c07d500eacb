"""What the test split says: against validation, against guessing, label by label, and row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set

from sweep.records import FinalRecord
from sweep.report import tables
from sweep.report.confusion import LabelScore, label_scores, mistakes
from sweep.report.facts import Facts, Prediction
from sweep.report.headline import interval, proportion
from sweep.report.inference import wilson
from sweep.report.markdown import bullets, details, escape, figure, join, table
from sweep.report.units import count, plural, score, seconds, share, signed

_FEW_LABELS = 20  # shown in one table; of more, the best and worst stand outside a fold
_EXTREMES = 7
_PAIRS = 15
_FAILURES = 15
_CUT = 240  # characters of a text shown


def generalisation(facts: Facts, drawn: Set[str]) -> str:
    final = facts.final
    if final is None:
        return ""
    names = tables.every_metric(facts, [final.test])
    return join(
        [
            "## On the test split",
            tables.scores(final, names),
            "A difference above 0 is better, for losses too.",
            bullets(_against(facts, final)),
            _confusion(facts, final, drawn) if final.confusion else "",
            _labels(facts, final) if final.confusion else "",
            _failures(facts, final),
        ]
    )


def _against(facts: Facts, final: FinalRecord) -> list[str]:
    name, lines = proportion(facts), []
    test, validation = final.test.get(f"test/{name}"), final.retrain_best.metrics.get(f"eval/{name}")
    rule = final.baseline.get(f"test/{name}")
    if test is not None:
        low, high = wilson(test, final.test_rows)
        lines.append(f"{interval(facts, final)}, by Wilson's score interval.")
        if validation is not None:
            chosen = plural(len(facts.completed), "completed trial")
            inside = "inside" if low <= validation <= high else "outside"
            lines.append(
                f"Validation {score(validation)} lies {inside} that interval; test is {signed(test - validation)} "
                f"against it. Validation chose among {chosen}, which favours it."
            )
        if rule is not None:
            verdict = "below" if rule < low else "inside" if rule <= high else "above"
            lines.append(f"The zero-rule baseline, {score(rule)}, lies {verdict} the interval ({signed(test - rule)}).")
    speed = f" ({final.test_rows / final.test_seconds:,.2f} rows a second)" if final.test_seconds > 0 else ""
    return [*lines, f"The test took {seconds(final.test_seconds)}{speed}."]


def _confusion(facts: Facts, final: FinalRecord, drawn: Set[str]) -> str:
    picture = figure("confusion", "Confusion on the test split") if "confusion" in drawn else ""
    if facts.multi_label:
        rows = [
            [escape(name), *map(count, cells)] for name, cells in zip(final.label_names, final.confusion, strict=True)
        ]
        heads = ["label", "true negatives", "false positives", "false negatives", "true positives"]
        return join(["### What was taken for what", picture, details("Counts by label", body=[table(heads, rows)])])
    found = mistakes(final.label_names, final.confusion)
    wrong = sum(mistake.rows for mistake in found)
    if not found:
        return join(["### What was taken for what", f"0 of {count(final.test_rows)} rows are wrong.", picture])
    top = found[:_PAIRS]
    covered = sum(mistake.rows for mistake in top)
    rows = [[escape(m.true), escape(m.predicted), count(m.rows), share(m.rows, m.of), count(m.back)] for m in top]
    columns = ["true label", "predicted", "rows", "of the true label", "the other way round"]
    said = (
        f"{count(wrong)} of {count(final.test_rows)} rows are wrong, in {plural(len(found), 'pair')} of labels; the "
        f"{plural(len(top), 'pair')} below hold {share(covered, wrong)} of them."
    )
    return join(["### What was taken for what", said, table(columns, rows), picture])


def _labels(facts: Facts, final: FinalRecord) -> str:
    scored = sorted(label_scores(final, multi_label=facts.multi_label), key=lambda label: (-label.f1, label.name))
    if len(scored) <= _FEW_LABELS:
        return join(["### Label by label", _label_table(scored)])
    best, worst = scored[:_EXTREMES], scored[: -_EXTREMES - 1 : -1]
    return join(
        [
            "### Label by label",
            f"The {_EXTREMES} worst of {len(scored)} labels, by F1:",
            _label_table(worst),
            f"The {_EXTREMES} best:",
            _label_table(best),
            details(f"All {len(scored)} labels", body=[_label_table(scored)]),
        ]
    )


def _label_table(scored: Sequence[LabelScore]) -> str:
    columns = ["label", "F1", "precision", "recall", "rows"]
    rows = [[escape(s.name), score(s.f1), score(s.precision), score(s.recall), count(s.rows)] for s in scored]
    return table(columns, rows)


def _failures(facts: Facts, final: FinalRecord) -> str:
    predictions = facts.predictions
    wrong = [row for row in predictions if not row.right]
    if not wrong:
        return ""
    surest = sorted(wrong, key=lambda row: (-row.confidence if math.isfinite(row.confidence) else math.inf, row.index))
    pairs = any(row.pair is not None for row in predictions)
    columns = [
        "row",
        "text",
        *(["pair"] if pairs else []),
        "label",
        "predicted",
        "confidence",
    ]
    return join(
        [
            "### The surest mistakes",
            _confidence(predictions, wrong),
            table(columns, (_failure(row, pairs) for row in surest[:_FAILURES])),
            f"All {count(len(predictions))} predictions are in `final/predictions.csv`."
            if len(predictions) == final.test_rows
            else f"`final/predictions.csv` holds {count(len(predictions))} of {count(final.test_rows)} rows.",
        ]
    )


def _failure(row: Prediction, pairs: bool) -> list[str]:
    second = [escape(row.pair or "", _CUT)] if pairs else []
    labels = [escape(name.replace("|", ", ")) or "(none)" for name in (row.label, row.predicted)]
    return [escape(row.index), escape(row.text, _CUT), *second, *labels, score(row.confidence, 3)]


def _confidence(predictions: Sequence[Prediction], wrong: Sequence[Prediction]) -> str:
    right = [row.confidence for row in predictions if row.right and math.isfinite(row.confidence)]
    mistaken = [row.confidence for row in wrong if math.isfinite(row.confidence)]
    if not right or not mistaken:
        return f"{count(len(wrong))} of {count(len(predictions))} predictions are wrong."
    everything = [*right, *mistaken]
    mean, hits = math.fsum(everything) / len(everything), len(right) / len(everything)
    way = "more" if mean > hits else "less"
    wrongly, rightly = math.fsum(mistaken) / len(mistaken), math.fsum(right) / len(right)
    return (
        f"{count(len(wrong))} of {count(len(predictions))} predictions are wrong. Mean confidence is "
        f"{score(wrongly, 3)} when wrong and {score(rightly, 3)} when right; {score(mean, 3)} in all, which is "
        f"{score(abs(mean - hits), 3)} {way} than the share that is right, {score(hits, 3)}."
    )
