from __future__ import annotations

from dataclasses import replace

from sweep.analysis import confusion
from sweep.analysis.charts import charts
from sweep.analysis.facts import read
from sweep.records.final import FinalRecord
from sweep.report import confusion_figure as pictures
from sweep.report.figures import figures
from sweep.report.plot import Figure

from .conftest import LABELS, emotions, final, matrix, part, rows, six_trials


def test_a_small_matrix_stands_in_numbers_too(reported):
    facts = read(reported)
    found = rows(part("generalisation", facts).partition("### What was taken for what")[2])
    assert found[0][:3] == ["true", r"card\_lost", r"card\_arrival"]
    assert found[2][:4] == [r"card\_lost", "7", "4", "0"]


def test_each_of_several_labels_has_its_matrix_and_threshold(make):
    settings, ending = emotions()
    store = make([six_trials()[1]], settings=settings, labels=LABELS[:3])
    store.write_final(ending)
    text, _, found = part("generalisation", read(store), {"confusion"}).partition("### Label by label")
    assert "![Confusion on the test split](figures/confusion.svg)" in text
    assert [r"card\_lost", "0.310", "50", "10", "5", "35"] in rows(text)
    assert "In 100 rows 35 labels were missed, 30 added wrongly." in text
    assert "Thresholds were tuned, each for the best F1 of its label on validation." in text
    assert [r"card\_lost", "0.8235", "0.7778", "0.8750", "40"] in rows(found)
    assert [r"card\_arrival", "0.0000", "0.0000", "0.0000", "10"] in rows(found)
    assert r"Never predicted: card\_arrival." in found


def test_the_rarest_label_of_train_comes_first(make):
    store = make([six_trials()[1]], ending=final(six_trials()[1], LABELS[:3], ((7, 4, 0), (0, 9, 0), (1, 0, 9))),
                 labels=LABELS[:3])  # fmt: skip
    known = read(store)
    facts = replace(known, lock=replace(known.lock, data=replace(known.lock.data, label_rows={"train": (90, 12, 5)})))
    found = rows(part("generalisation", facts).partition("### Label by label")[2])
    assert [row[:2] for row in found[:5] if row[0] != ":---"] == [
        ["label", "train rows"], ["refund", "5"], [r"card\_arrival", "12"], [r"card\_lost", "90"],
    ]  # fmt: skip
    unknown = rows(part("generalisation", known).partition("### Label by label")[2])
    assert "train rows" not in unknown[0] and unknown[2][0] == r"card\_arrival"  # with 9 test rows, the lower F1


def drawn(ending: FinalRecord, *, multi_label: bool) -> Figure:
    found = confusion.confusion(ending, multi_label=multi_label)
    assert found is not None
    return pictures.confusion(found)


def test_tuned_thresholds_are_in_the_picture():
    _, ending = emotions()
    titles = [panel.spec["title"]["text"] for panel in drawn(ending, multi_label=True).panels]
    assert titles == ["card_lost, from 0.31", "card_arrival, from 0.50", "refund, from 0.72"]


def test_seventy_seven_labels_are_drawn_large_enough_to_read(make):
    names = tuple(f"intent_{index}" for index in range(77))
    picture = drawn(final(six_trials()[1], names, matrix(names, 7, 4)), multi_label=False)
    (panel,) = picture.panels
    assert panel.spec["width"]["step"] > panel.spec["layer"][1]["mark"]["fontSize"] > 9
    assert not panel.fluid  # it scrolls
    numbers = [row["count"] for row in panel.spec["layer"][1]["data"]["values"]]
    assert numbers == [4] * 26  # mistakes alone


def test_one_run_draws_no_search(make):
    from .conftest import completed, config

    only = completed(0, [0.5, 0.6], [1.0, 0.9], {})
    facts = read(make([only], settings=config(n_trials=1), ending=final(only)))
    assert set(figures(charts(facts))) == {"winner", "confusion"}
