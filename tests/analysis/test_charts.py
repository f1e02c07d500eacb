from __future__ import annotations

from dataclasses import replace

from report.conftest import BATCH, LR, completed, config, emotions, final, six_trials
from sweep.analysis.charts import charts
from sweep.analysis.confusion import confusion
from sweep.analysis.facts import read


def test_the_best_so_far_holds_up_to_the_last_trial(store):
    search = charts(read(store)).search
    assert search is not None
    best = dict(search.best_so_far)
    completed_ones = {one.number: one.value for one in search.scored if one.ended == "completed"}
    assert best[0] == completed_ones[0] and best[1] == completed_ones[1] > best[0]
    assert search.best_so_far[-1] == (5, max(completed_ones.values()))
    assert [one.number for one in search.scored if one.mark] == [1]
    assert {one.number for one in search.scored} | set(search.silent) == set(range(6))


def test_lower_scores_are_better_where_the_objective_is_minimized(make):
    trials = [completed(number, [0.5], [loss], {LR: 1e-4}) for number, loss in enumerate((0.9, 0.4, 0.6))]
    search = charts(read(make(trials, settings=config(metric="eval/loss", direction="minimize")))).search
    assert search is not None
    assert search.best_so_far == ((0, 0.9), (1, 0.4), (2, 0.4), (2, 0.4))


def test_an_axis_spans_the_range_and_the_values_outside_it(make):
    trials = [completed(n, [0.5 + n / 10], [1.0], {LR: rate, BATCH: 8}) for n, rate in enumerate((1e-3, 0.5))]
    found = charts(read(make(trials))).hyperparameters
    assert found is not None
    rate, batch = (panel.axis for panel in found.panels)
    assert (rate.low, rate.high, rate.log, rate.names) == (1e-5, 0.5, True, ())
    assert batch.names == ("8", "16")
    assert found.panels[1].places == (0, 0)


def test_shares_are_of_the_rows_of_the_true_label():
    ending = final(six_trials()[1], ("a", "b"), ((3, 1), (0, 0)))
    found = confusion(ending, multi_label=False)
    assert found is not None
    assert found.matrices[0].shares == ((0.75, 0.25), (0.0, 0.0))
    assert confusion(replace(ending, confusion=()), multi_label=False) is None


def test_each_of_several_labels_has_a_matrix_of_no_and_yes():
    found = confusion(emotions()[1], multi_label=True)
    assert found is not None and found.multi_label
    first = found.matrices[0]
    assert (first.name, first.labels, first.counts) == ("card_lost", ("no", "yes"), ((50, 10), (5, 35)))


def test_a_single_run_has_no_search_and_an_unfinished_one_no_confusion(make):
    only = completed(0, [0.5, 0.6], [1.0, 0.9], {})
    found = charts(read(make([only], settings=config(n_trials=1))))
    assert (found.search, found.hyperparameters, found.confusion) == (None, None, None)
    assert found.winner is not None and found.winner.trial["eval/loss"] == ((60, 1.0), (120, 0.9))
