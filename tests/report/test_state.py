"""A report says whether its study runs, was interrupted, or has ended."""

from __future__ import annotations

import pytest

from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.records.store import Store
from sweep.report.page import page
from sweep.report.write import title

from .conftest import LR, completed, config, final, part, six_trials, words


def state(store: Store) -> str:
    return analyse(read(store)).state


def test_a_study_runs_while_a_process_holds_its_run_directory(make):
    store = make(six_trials()[:2])
    with store.held():
        assert state(store) == "running"
        assert "**Running, 2 of 6** trials" in part("headline", read(store))
    assert state(store) == "interrupted"


def test_trials_in_training_are_named_while_the_study_runs(make):
    store = make(six_trials()[:1])
    for number in (1, 2):
        store.trial_dir(number).mkdir()
        (store.trial_dir(number) / "events.jsonl").touch()
        store.marks(number).begin()
    text = part("headline", read(store, running=True))
    assert "**Running, 1 of 6** trials; trials 1, 2 in training." in text and "Missing so far" not in text
    assert "trial 1, 2, which was killed" in part("headline", read(store, running=False))


def test_an_interrupted_study_says_what_to_type(make):
    text = words(make(six_trials()[:2])).partition("## ")[0]
    assert "**Interrupted, 2 of 6** trials. The study's own command goes on from there:" in text
    assert text.count("python -m sweep +experiment=toy") == 1


def test_a_study_that_ended_has_no_such_line(make):
    trials = [completed(n, [0.5, 0.6 + n / 10], [2.0, 1.5], {LR: 1e-3 / (n + 1)}) for n in range(2)]
    store = make(trials, settings=config(n_trials=2), ending=final(trials[1]))
    text = words(store)
    assert state(store) == "finished" and "Interrupted" not in text and "Running" not in text


def test_the_title_has_the_standing_of_a_study_that_has_not_ended(make):
    store = make(six_trials()[:2])
    assert title(analyse(read(store, running=True))) == "Toy help desk: running, 2 of 6"


@pytest.mark.parametrize("running", [True, False])
def test_only_the_page_of_a_running_study_loads_itself_again(running, make):
    from datetime import UTC, datetime

    html = page("# Toy", title="t", written=datetime(2026, 1, 1, tzinfo=UTC) if running else None)
    assert ('<meta http-equiv="refresh" content="30" />' in html) is running
    assert ("location.reload()" in html) is running


def test_texts_of_a_figure_cannot_end_its_script(make):
    labels = ("</script><script>alert(1)</script>", "]]>", "c")
    record = six_trials()[1]
    store = make([record], ending=final(record, labels), labels=labels)
    from sweep.report.write import write_report

    write_report(store)
    html = (store.root / "report.html").read_text()
    assert "<script>alert(1)" not in html and html.count("</script>") == 3
