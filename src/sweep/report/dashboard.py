"""The results of a study on its own run: summary, tables, charts and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sweep.analysis.calibration import Abstention, Calibrated, calibrated
from sweep.analysis.confusion import Matrix, confusion
from sweep.analysis.facts import Facts
from sweep.analysis.failures import failures
from sweep.analysis.hyperparameters import Effect, Hyperparameters, hyperparameters
from sweep.analysis.out_of_fold import matrices
from sweep.analysis.pareto import Member, ParetoSet, pareto
from sweep.analysis.predictions import Prediction
from sweep.analysis.summary import study_summary
from sweep.config.schema import Scalar
from sweep.config.secrets import scrub
from sweep.errors import shortened
from sweep.track.tracker import Chart, Ending

Row = Mapping[str, Scalar]

# As in the report: so many rows, and so many characters of a text.
_MISTAKES, _CUT = 50, 240
# The most labels of a matrix, and of a multi-label task, that are drawn.
_LABELS = 60
_MATRICES = 12


def study_ending(facts: Facts, report: Path) -> Ending:
    """Return the end of a study's run. It holds no text of the data that the report does not
    hold."""
    searched = hyperparameters(facts)
    return Ending(
        "completed",
        summary=study_summary(facts),
        files=(report, report.with_suffix(".html")),
        trials=facts.trials,
        tables={name: rows for name, rows in _tables(facts, searched) if rows},
        charts=tuple(_charts(facts, searched)),
        page=report.with_suffix(".html"),
    )


def _tables(facts: Facts, searched: Hyperparameters | None) -> Iterator[tuple[str, Sequence[Row]]]:
    if two := pareto(facts):
        yield "pareto", [_member(one, two) for one in two.kept]
    if searched:
        yield "importance", [_effect(one) for one in searched.effects]
    if (known := calibrated(facts)) and known.levels:
        yield "abstention", [_level(one) for one in known.levels]
    for name, rows in (("mistakes", facts.predictions), ("mistakes_out_of_fold", facts.out_of_fold)):
        if wrong := failures(facts, rows):
            several = facts.multi_label
            yield name, [_mistake(row, wrong.columns, several=several) for row in wrong.surest[:_MISTAKES]]


def _level(one: Abstention) -> Row:
    return {"confidence": one.confidence, "answered": one.answered, "coverage": one.coverage, "accuracy": one.accuracy}


def _member(one: Member, found: ParetoSet) -> Row:
    params = {key: scrub(value) if isinstance(value, str) else value for key, value in one.params.items()}
    return {"number": one.number, found.first: one.first, found.second: one.second, "mark": one.mark, **params}


def _effect(one: Effect) -> Row:
    return {
        "key": one.key, "importance": one.importance, "trials": one.trials, "correlation": one.correlation, "p": one.p,
        "better": one.better,
    }  # fmt: skip


def _mistake(row: Prediction, columns: Sequence[str], *, several: bool) -> Row:
    texts = dict(zip(columns, (row.text, row.pair or ""), strict=False))
    names = ("labels", "predicted labels") if several else ("label", "predicted")
    labels = (", ".join(row.label), ", ".join(row.predicted))
    return {
        "row": row.index,
        **{name: shortened(scrub(text), _CUT) for name, text in texts.items()},
        **dict(zip(names, labels, strict=True)),
        "confidence": row.confidence,
    }


def _charts(facts: Facts, searched: Hyperparameters | None) -> Iterator[Chart]:
    if two := pareto(facts):
        spots: list[Row] = [{two.second: one.second, two.first: one.first} for one in two.trials]
        yield Chart("study/pareto", f"{two.first} against {two.second}", "points", spots)
    bars: list[Row] = [{"key": key, "importance": share} for key, share in (searched.shares if searched else ())]
    if bars:
        yield Chart("study/importance", "Hyperparameter importance (PED-ANOVA)", "bars", bars)
    known = calibrated(facts)
    if known:
        yield from _calibration(known)
    tested = confusion(facts.final, multi_label=facts.multi_label) if facts.final else None
    for counts, name, title in (
        (tested, "confusion_matrix", "Test split"),
        (matrices(facts), "confusion_matrix_out_of_fold", "Train rows, out of fold"),
    ):
        for matrix in counts.matrices[:_MATRICES] if counts else ():
            if len(matrix.labels) <= _LABELS:
                yield _matrix(matrix, name, title)


def _calibration(known: Calibrated) -> Iterator[Chart]:
    found = known.found
    pairs = {"validation": (found.before, found.after), "test": (found.test_before, found.test_after)}
    for split, (before, after) in pairs.items():
        rows: list[Row] = [
            {"probability": one.probability, "share that is true": one.share, "scores": name}
            for name, side in (("before", before), ("calibrated", after))
            for one in (side.bins if side else ())
        ]
        if rows:
            yield Chart(f"calibration/{split}", f"Reliability, {split}", "lines", rows)
    curve: list[Row] = [{"answered": x, "right": y, "split": "test"} for x, y in known.curve]
    if curve:
        yield Chart("calibration/abstention", "Accuracy with abstention", "lines", curve)


def _matrix(matrix: Matrix, name: str, title: str) -> Chart:
    rows: list[Row] = [
        {"true": true, "predicted": predicted, "rows": rows}
        for true, counts in zip(matrix.labels, matrix.counts, strict=True)
        for predicted, rows in zip(matrix.labels, counts, strict=True)
    ]
    if matrix.name:
        name, title = f"{name}/{matrix.name}", f"{title}: {matrix.name}"
    return Chart(name, title, "confusion", rows)
