from __future__ import annotations

import json
from dataclasses import replace

from sweep.analysis.facts import read
from sweep.provenance import Duplicates

from .conftest import LABELS, config, emotions, final, lock, part, six_trials

COUNTS = (5,) * (len(LABELS) - 2)


def known(store, **data):
    """The run directory with more known of its data."""
    found = store.lock()
    store.write_lock(replace(found, data=replace(found.data, **data)))
    return read(store)


def cautions(facts) -> list[str]:
    """The notes at the top that qualify a score by its rows."""
    found = part("headline", facts).split("\n")
    return [line.removeprefix("- ") for line in found if "macro averages" in line or "have the text of" in line]


def test_labels_that_were_not_scored_are_named(make):
    trials = six_trials()
    facts = known(
        make(trials, ending=final(trials[0])), label_rows={"validation": (*COUNTS, 0, 1), "test": (*COUNTS, 0, 0)}
    )
    validation, test = cautions(facts)
    assert validation.startswith(
        "1 of 12 labels have no validation row (cancel): macro averages on validation leave out"
    )
    assert test.startswith(
        "2 of 12 labels have no test row (cancel, other \\| &lt;none&gt;): macro averages on test leave out"
    )


def test_of_several_labels_a_row_those_without_one_count_as_0(make):
    settings, ending = emotions()
    store = make(six_trials(), settings=settings, ending=ending)
    names = store.lock().data.label_names
    facts = known(store, label_rows={"test": (0, *(3 for _ in names[1:]))})
    (caution,) = cautions(facts)
    assert caution.startswith(f"1 of {len(names)} labels have no test row") and caution.endswith("count them as 0.")


def test_texts_in_two_splits_are_reported_beside_the_scores(make):
    repeated = (Duplicates("test", "test", 1, 1, 0), Duplicates("test", "train", 3, 4, 1))
    facts = known(make(six_trials()), duplicates=repeated)
    assert cautions(facts) == [
        "4 of 100 test rows have the text of a train row (3 exactly, the others but for upper case and white space), "
        "1 of them with another label."
    ]


def test_notes_on_the_data_are_in_the_report(make):
    facts = known(make(six_trials()), notes=("2 of 9 train rows have no text and are left out", "a <b>"))
    assert "- 2 of 9 train rows have no text and are left out.\n- a &lt;b&gt;.\n" in part("experiment", facts)


def test_a_record_from_before_any_of_it_says_nothing(make):
    store = make(six_trials())
    stored = json.loads((store.root / "lock.json").read_text())
    for name in ("label_rows", "duplicates", "dropped", "notes"):
        del stored["data"][name]
    for name in ("encoding", "blank", "unknown_labels", "duplicates", "label_separator"):
        del stored["config"]["dataset"][name]
    stored["config"]["dataset"]["stratify"] = False
    (store.root / "lock.json").write_text(json.dumps(stored))
    facts = read(store)
    assert facts.lock.data == lock(config()).data and cautions(facts) == []
    assert facts.config.dataset.stratify is False
