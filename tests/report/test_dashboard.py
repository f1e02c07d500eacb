"""The tables and charts of the study's own run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sweep.analysis.facts import read
from sweep.analysis.predictions import Prediction
from sweep.records.store import Store
from sweep.report.dashboard import study_ending

from .conftest import BATCH, LABELS, LR, completed, emotions, final, matrix, six_trials


def test_the_end_of_a_study_has_its_tables_its_matrix_and_its_report(store: Store) -> None:
    ending = study_ending(read(store), store.root / "report.md")
    assert (ending.state, ending.page) == ("completed", store.root / "report.html")
    assert [path.name for path in ending.files] == ["report.md", "report.html"]
    assert [trial.number for trial in ending.trials] == list(range(6)) and ending.summary
    assert set(ending.tables) == {"importance", "mistakes"} and set(ending.all_tables) >= {"confusion_matrix"}
    (chart,) = ending.charts  # two trials completed: too few for an importance
    counts = {(row["true"], row["predicted"]): row["rows"] for row in chart.rows}
    assert (chart.name, chart.kind, len(counts)) == ("confusion_matrix", "confusion", len(LABELS) ** 2)
    assert counts[LABELS[0], LABELS[1]] == read(store).final.confusion[0][1]  # type: ignore[union-attr]


def test_mistakes_are_those_of_the_report_and_no_longer(store: Store) -> None:
    facts = read(store)
    wrong = [
        Prediction(str(index), f"{'x' * 300} hf_abcdefghijklmnopqrstuvwxyz"[index:], None, ("a",), ("b",), index / 100)
        for index in range(80)
    ]
    ending = study_ending(
        replace(facts, predictions=(*wrong, Prediction("80", "ok", None, ("a",), ("a",), 1.0))), store.root
    )
    rows = ending.tables["mistakes"]
    assert [row["row"] for row in rows] == [str(index) for index in range(79, 29, -1)]
    assert list(rows[0]) == ["row", facts.config.dataset.text_column, "label", "predicted", "confidence"]
    texts = [str(row[facts.config.dataset.text_column]) for row in rows]
    assert all(len(text) <= 240 for text in texts) and not any("hf_" in text for text in texts)


def test_the_importance_is_drawn_once_enough_trials_have_completed(make: Callable[..., Store]) -> None:
    trials = [completed(n, (0.5 + n / 100,), (0.7,), {LR: 1e-4 * (n + 1), BATCH: 8 * (1 + n % 2)}) for n in range(9)]
    ending = study_ending(read(make(trials)), make(trials).root)
    (chart,) = ending.charts
    assert (chart.name, chart.kind) == ("study/importance", "bars")
    shares = [float(str(row["importance"])) for row in chart.rows]
    assert {row["key"] for row in chart.rows} <= {LR, BATCH} and shares == sorted(shares, reverse=True)
    assert "mistakes" not in ending.tables


def test_a_multi_label_study_has_a_matrix_of_each_label(make: Callable[..., Store]) -> None:
    settings, ending = emotions()
    facts = replace(read(make(six_trials(), settings=settings)), final=ending)
    found = study_ending(facts, make().root)
    assert [chart.name for chart in found.charts] == [f"confusion_matrix/{name}" for name in ending.label_names]
    assert [row["rows"] for row in found.charts[0].rows] == [50, 10, 5, 35]


def test_very_many_labels_are_not_drawn(make: Callable[..., Store]) -> None:
    names = [f"label {number}" for number in range(61)]
    ending = final(six_trials()[1], names, matrix(names, 2, 1))
    assert study_ending(read(make(six_trials(), ending=ending, labels=names)), make().root).charts == ()
