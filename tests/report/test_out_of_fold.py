"""The section on the train rows that the folds of the winner predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.analysis.charts import charts
from sweep.analysis.facts import Facts, read
from sweep.records.calibration import Calibration, Reliability
from sweep.records.store import Store
from sweep.records.trial import EvalPoint
from sweep.report.dashboard import study_ending
from sweep.report.figures import figures

from .conftest import LABELS, final, part, rows, six_trials

COUNTS = ((7, 4, 0), (0, 9, 0), (1, 0, 9))
FIT = Reliability(loss=0.5, ece=0.1, bins=())


def by_fold(point: EvalPoint) -> EvalPoint:
    score = point.metrics["eval/accuracy"]
    return replace(
        point,
        metrics={
            **point.metrics,
            "eval/fold/1/accuracy": score,
            "eval/fold/2/accuracy": score,
            "eval/sd/accuracy": 0.0,
        },
    )


@pytest.fixture
def folded(make: Callable[..., Store]) -> Facts:
    made = final(six_trials()[1], LABELS[:3])
    ending = replace(
        made, trial_best=by_fold(made.trial_best), trial_evals=tuple(map(by_fold, made.trial_evals)),
        out_of_fold=COUNTS, calibration=Calibration(2.0, 30, 2, FIT, FIT, FIT, FIT),
    )  # fmt: skip
    store = make(six_trials(), ending=ending, labels=LABELS[:3])
    written = "index,text,label,predicted,confidence,loss,fold\n4,hard,refund,card_lost,0.9,2.0,1\n"
    (store.final_dir / "out_of_fold.csv").write_text(written + "5,easy,refund,refund,0.8,0.1,2\n")
    known = read(store)
    dataset = known.config.dataset.model_copy(update={"folds": 2})
    data = replace(
        known.lock.data, rows={"train": 40, "test": 33}, division=replace(known.lock.data.division, folds=((20, 14), (20, 16)))
    )  # fmt: skip
    config = known.config.model_copy(update={"dataset": dataset})
    return replace(known, lock=replace(known.lock, config=config, data=data))


def test_the_section_has_the_counts_labels_and_mistakes_of_the_folds(folded: Facts) -> None:
    text = part("out_of_fold", folded, {"out_of_fold"})
    assert "Each of 30 rows of train was predicted by the fold of the winning trial" in text
    assert "The other 10 rows score no fold." in text and "which favours them" in text
    assert "![Confusion out of fold](figures/out_of_fold.svg)" in text and "5 of 30 rows are wrong" in text
    assert [r"card\_lost", "7", "4", "0"] in rows(text)
    assert "1 of 2 predictions are wrong" in text and ["4", "hard", "refund", r"card\_lost", "0.900"] in rows(text)
    assert "`final/out_of_fold.csv` holds 2 of 30 rows." in text
    tested = part("generalisation", folded)
    assert "those of all folds, each scored by the fold that did not see it" in tested
    assert "a temperature fitted to the other folds of 2" in tested and "hard" not in tested


def test_the_folds_are_drawn_and_tracked_beside_the_test_split(folded: Facts, tmp_path: Path) -> None:
    assert {"confusion", "out_of_fold"} <= set(figures(charts(folded)))
    ending = study_ending(folded, tmp_path / "report.md")
    drawn = {chart.name: chart for chart in ending.charts}
    assert {"confusion_matrix", "confusion_matrix_out_of_fold"} <= set(drawn)
    assert drawn["confusion_matrix_out_of_fold"].rows[1]["rows"] == COUNTS[0][1]
    assert [row["row"] for row in ending.tables["mistakes_out_of_fold"]] == ["4"]


def test_without_folds_there_is_no_section(store: Store) -> None:
    assert not part("out_of_fold", read(store)).strip()
    assert "mistakes_out_of_fold" not in study_ending(read(store), Path("report.md")).tables
