"""Failure cases: the rows the model was surest of, and wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sweep.records.final import FinalRecord
from sweep.report.facts import Facts, Prediction
from sweep.report.markdown import details, escape, join, table
from sweep.report.units import MISSING, count, score

_SHOWN, _FOLDED = 15, 50
_CUT = 240  # characters of a text shown


def failures(facts: Facts, final: FinalRecord) -> str:
    """Empty where no row is wrong. Most confident first."""
    wrong = [row for row in facts.predictions if not row.right]
    if not wrong:
        return ""
    surest = sorted(wrong, key=lambda row: (-row.confidence if math.isfinite(row.confidence) else math.inf, row.index))
    more = surest[_SHOWN:_FOLDED]
    return join(
        [
            "### The surest mistakes",
            _confidence(facts.predictions, wrong),
            "The confidence of a row is that of its least sure label." if facts.multi_label else "",
            _table(facts, surest[:_SHOWN]),
            details(f"The {count(len(more))} after these", body=[_table(facts, more)]) if more else "",
            f"All {count(len(facts.predictions))} predictions are in `final/predictions.csv`."
            if len(facts.predictions) == final.test_rows
            else f"`final/predictions.csv` holds {count(len(facts.predictions))} of {count(final.test_rows)} rows.",
        ]
    )


def _table(facts: Facts, found: Sequence[Prediction]) -> str:
    data, pairs = facts.config.dataset, any(row.pair is not None for row in facts.predictions)
    texts = [data.text_column, data.text_pair_column or "text_pair"] if pairs else [data.text_column]
    verdict = ["labels", "missed", "added"] if facts.multi_label else ["label", "predicted"]
    columns = ["row", *map(escape, texts), *verdict, "confidence"]
    return table(columns, (_row(row, pairs=pairs, multi_label=facts.multi_label) for row in found))


def _row(row: Prediction, *, pairs: bool, multi_label: bool) -> list[str]:
    texts = [escape(text, _CUT) for text in ((row.text, row.pair or "") if pairs else (row.text,))]
    verdict = _labels(row) if multi_label else [escape(row.label[0]), escape(row.predicted[0])]
    return [escape(row.index), *texts, *verdict, score(row.confidence, 3)]


def _labels(row: Prediction) -> list[str]:
    """The true labels, those of them that were not predicted, and those predicted beside them."""
    missed = [name for name in row.label if name not in row.predicted]
    added = [name for name in row.predicted if name not in row.label]
    return [escape(", ".join(names)) or MISSING for names in (row.label, missed, added)]


def _confidence(predictions: Sequence[Prediction], wrong: Sequence[Prediction]) -> str:
    said = f"{count(len(wrong))} of {count(len(predictions))} predictions are wrong."
    right = [row.confidence for row in predictions if row.right and math.isfinite(row.confidence)]
    mistaken = [row.confidence for row in wrong if math.isfinite(row.confidence)]
    if not right or not mistaken:
        return said
    everything = [*right, *mistaken]
    mean, hits = math.fsum(everything) / len(everything), len(right) / len(everything)
    sure = "surer than it has reason to be" if mean > hits else "less sure than it could be"
    wrongly, rightly = math.fsum(mistaken) / len(mistaken), math.fsum(right) / len(right)
    return (
        f"{said} Mean confidence is {score(wrongly, 3)} when wrong and {score(rightly, 3)} when right. In all it is "
        f"{score(mean, 3)}, while {score(hits, 3)} of the rows are right: the model is {sure}."
    )
