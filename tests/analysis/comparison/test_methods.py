from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from sweep.analysis.comparison.comparison import compare
from sweep.analysis.comparison.methods import Entry, read_methods
from sweep.errors import UserError
from sweep.records.store import Store

from .conftest import NAMES, TRUTH, answers, record, settings, write_rows


def faults(*entries: Entry, **options: object) -> list[str]:
    with pytest.raises(UserError) as caught:
        compare(entries, samples=100, **options)
    return [str(fault) for fault in caught.value.faults]


def test_names_are_those_of_the_studies(three):
    found, wrong = read_methods(three)
    assert [one.name for one in found] == ["good", "fair", "poor"] and wrong == []


def test_studies_of_one_name_go_by_title_then_by_folder(make, tmp_path):
    config = settings("same")
    for name in ("x", "y"):
        make(name, answers([]), config=config.model_copy(update={"title": f"Title {name}"}))
    entries = (Entry(tmp_path / "x"), Entry(tmp_path / "y"))
    assert [one.name for one in read_methods(entries)[0]] == ["Title x", "Title y"]
    for name in ("x", "y"):
        make(name, answers([]), config=config)
    assert [one.name for one in read_methods(entries)[0]] == ["x", "y"]


def test_a_given_name_wins_and_must_be_its_own(three):
    named = (replace(three[0], name="mine"), *three[1:])
    assert [one.name for one in read_methods(named)[0]] == ["mine", "fair", "poor"]
    twice = (replace(three[0], name="fair"), *three[1:])
    assert faults(*twice) == ["fair: names 2 methods; tell them apart with NAME=RUN_DIR"]


def test_the_methods_of_a_group_run_stand_side_by_side(group):
    found, wrong = read_methods([Entry(group.root)])
    assert wrong == []
    assert [(one.name, len(one.trials), one.config.adapter.method) for one in found] == [
        ("lora", 1, "lora"),
        ("ia3", 1, "ia3"),
    ]


def test_a_group_run_beside_another_run_is_named_in_full(group, make):
    other = make("other", answers([9]))
    found, _ = read_methods([Entry(group.root), Entry(other.root)])
    assert [one.name for one in found] == ["group lora", "group ia3", "other"]


def test_one_run_alone_has_nothing_beside_it(three):
    assert "holds one method only" in faults(three[0])[0]


def test_all_that_is_wrong_is_said_at_once(three, tmp_path):
    (three[2].root / "final" / "record.json").unlink()
    shutil.copytree(three[0].root, tmp_path / "twin")
    wrong = faults(three[0], three[0], three[2], Entry(tmp_path / "nowhere"), Entry(tmp_path), metrics=["f1", "loss"])
    assert [text.rpartition(str(tmp_path))[2].split(" ", 1)[1][:28] for text in wrong[:4]] == [
        "is given more than once; nam",
        "has no winner that was retra",
        "is no folder; give the run d",
        "is no run directory: it has ",
    ]
    assert [text.partition(", but")[0] for text in wrong[4:]] == ["--metric: is 'f1'", "--metric: is 'loss'"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("missing", "is missing, but the run was tested on 60 rows"),
        ("short", "holds 59 rows, but the run was tested on 60 rows"),
        ("damaged", "is damaged"),
        ("strange", "names 'omega', which is no label of the run"),
        ("other", "gives accuracy 0.983333, but the run recorded 0.950000"),
    ],
)
def test_predictions_that_are_not_those_of_the_record_are_refused(three, change, rule):
    path = three[0].root / "final" / "predictions.csv"
    labels = [NAMES[label] for label in TRUTH]
    match change:
        case "missing":
            path.unlink()
        case "short":
            write_rows(path.parent, labels[1:], labels[1:])
        case "damaged":
            path.write_text("a,b\n1,2\n")
        case "strange":
            write_rows(path.parent, labels, ["omega", *labels[1:]])
        case "other":
            write_rows(path.parent, labels, [NAMES[label] for label in answers([7])])
    assert rule in faults(*three[:2])[0]


def test_runs_on_other_rows_are_refused_pair_by_pair(three, make, tmp_path):
    labels = [NAMES[label] for label in TRUTH]
    good = [NAMES[label] for label in answers([0, 1, 40])]
    texts = [f"Text {row}: <b>where</b>?\nA | B" for row in range(60)]
    texts[3], texts[6] = texts[6], texts[3]
    write_rows(three[0].root / "final", labels, good, texts)
    said = faults(*three)
    assert [text.partition(":")[0] for text in said] == ["good and fair", "good and poor"]
    assert "their test rows are in another order, from row 3 on" in said[0]
    write_rows(three[0].root / "final", labels, good, ["new", *texts[1:]])
    assert "their test rows have other texts, from row 0 on" in faults(*three)[0]


def test_all_that_differs_within_a_pair_is_named(make, tmp_path):
    first = make("first", answers([]))
    lock = first.lock()
    second = make("second", answers([1]))
    study = lock.config.study.model_copy(update={"metric": "eval/f1_macro", "study_name": "second"})
    second.write_lock(
        replace(lock, config=lock.config.model_copy(update={"study": study}), data=replace(lock.data, fingerprint="d2"))
    )
    second.write_final(replace(record(settings("second"), answers([1])), label_names=NAMES[::-1]))
    (said,) = faults(Entry(first.root), Entry(second.root))
    assert said == (
        "first and second: cannot be compared: their trials were chosen by eval/accuracy (maximize) and eval/f1_macro "
        "(maximize); their labels are in another order; the test rows are the same, but those of train or validation "
        "differ (data fingerprint)"
    )


def test_another_task_or_other_labels_are_refused(three, multi):
    said = faults(three[0], multi[0])[0]
    assert "dataset.task is single_label and multi_label" in said
    assert "only one of them has the 5 labels 'a', 'alpha', 'b' and 2 more" in said
    assert "they were tested on 60 and 40 rows" in said


def test_a_store_holds_the_winner_first_and_then_the_other_methods(group, three):
    assert [folder.name for folder in group.finals()] == ["final", "ia3"]
    assert [record.number for record in group.finals().values()] == [0, 1]
    (three[0].root / "final" / "record.json").unlink()
    assert Store(three[0].root).finals() == {}


def test_trials_chosen_by_loss_are_ranked_by_a_metric_that_can_be_tested(make):
    entries = []
    for name in ("one", "two"):
        config = settings(name)
        study = config.study.model_copy(update={"metric": "eval/loss", "direction": "minimize"})
        entries.append(Entry(make(name, answers([]), config=config.model_copy(update={"study": study})).root))
    assert compare(entries, samples=100).metrics == ("accuracy", "f1_macro", "f1_weighted")
