from __future__ import annotations

from dataclasses import replace

import pytest

from support.reports import summary_lines
from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.analysis.summary import study_summary

from .conftest import BATCH, LR, completed, config, confirmation, final, part, rows, sentences, six_trials, words


@pytest.fixture
def confirmed(make):
    trials = six_trials()
    return make(trials, ending=replace(final(trials[0]), confirmation=confirmation()))


def chosen(facts) -> str:
    return " ".join(sentences("selection_sentences", "chosen", analyse(facts)))


def test_candidates_are_listed_with_every_seed(confirmed):
    text = part("selection", read(confirmed))
    assert rows(text)[0] == ["trial", "in the search", "seed 1", "seed 2", "seed 3", "mean", "95 % interval"]
    assert rows(text)[2:] == [
        ["0 (winner)", "0.6125", "0.8400", "0.8600", "0.8500", "0.8500", "0.8252 to 0.8748"],
        ["1", "0.8833", "0.7000", "0.8000", "0.7500", "0.7500", "0.6258 to 0.8742"],
    ]
    assert "was 0.1333 better than that trial's mean over fresh seeds, 0.7500" in text
    assert "The winner's mean is 0.1000 better than that of trial 1; their intervals overlap" in text


def test_the_search_s_best_is_not_called_the_winner(confirmed):
    text = words(confirmed)
    assert "**Trial 0 won** with eval/accuracy 0.6125" in text
    assert (
        "Trial 1 scored best in the search (0.8833), but trial 0 has the better mean over 3 fresh seeds: 0.8500" in text
    )
    assert "has since become the best" not in text
    assert "13 training runs, 6 of them with fresh seeds, took 212 s" in text
    assert {row[0] for row in rows(text)} >= {"0 (winner)", "1 (best in the search)", "fresh seeds"}


def test_the_summary_has_the_mean(confirmed):
    found = study_summary(read(confirmed))
    assert "          validation mean 0.8500 over 3 fresh seeds, 95 % interval 0.8252 to 0.8748" in summary_lines(
        confirmed
    )
    assert (found["confirmation/mean"], found["confirmation/seeds"], found["confirmation/low"]) == (0.85, 3, 0.8252)


def test_a_best_that_kept_its_place(make):
    first, second = confirmation().candidates
    held = replace(confirmation(), candidates=(second, replace(first, mean=0.7, interval=(0.61, 0.62))), optimism=0.0)
    trials = six_trials()
    facts = read(make(trials, ending=replace(final(trials[1]), confirmation=held)))
    assert chosen(facts).startswith("Trial 1, the best of the search, kept its place")
    assert "was what trial 1 does on average with fresh seeds" in part("selection", facts)
    assert "their intervals do not overlap." in part("selection", facts)


def test_a_best_whose_fresh_seeds_failed_is_not_said_to_have_the_lower_mean(make):
    first, second = confirmation().candidates
    held = replace(confirmation(), candidates=(first, replace(second, mean=0.9, scores=(0.9,), failed=2)))
    trials = six_trials()
    facts = read(make(trials, ending=replace(final(trials[0]), confirmation=held)))
    text = part("selection", facts)
    assert "but 2 of its 3 fresh seeds failed. So trial 0 won, with a mean over 3 fresh seeds of 0.8500" in text
    assert "better than that of trial 1" not in text


def test_no_mean_is_reported_where_every_fresh_seed_failed(make):
    nothing = {"mean": None, "scores": (), "interval": None, "failed": 3}
    first, second = (replace(one, **nothing) for one in confirmation().candidates)
    trials = six_trials()
    held = replace(confirmation(), candidates=(second, first), optimism=None)
    store = make(trials, ending=replace(final(trials[1]), confirmation=held))
    facts = read(store)
    assert chosen(facts).startswith("No fresh seed gave a score, so trial 1, the best of the search, won")
    assert "          no fresh seed gave a score: the search's own chose the winner" in summary_lines(store)


def test_the_best_of_a_minimised_loss_is_the_lowest(make):
    trials = six_trials()
    settings = config(metric="eval/loss", direction="minimize")
    facts = read(make(trials, settings=settings, ending=replace(final(trials[0]), confirmation=confirmation())))
    assert chosen(facts).startswith("Trial 0, the best of the search, kept its place")


def test_without_fresh_seeds_there_is_no_section(store):
    assert part("selection", read(store)) == ""


def test_in_a_group_run_the_candidates_are_those_of_one_method(make):
    trials = tuple(replace(trial, params={**trial.params, "adapter": "ia3"}) for trial in six_trials())
    settings = config(compare_by="adapter")
    facts = read(make(trials, settings=settings, ending=replace(final(trials[0]), confirmation=confirmation())))
    assert "of the search with `adapter` ia3" in part("selection", facts) and "for each `adapter`" in part(
        "selection", facts
    )


def test_the_search_s_best_of_equal_trials_is_the_one_with_the_lowest_loss(make):
    trials = (
        completed(0, [0.5, 0.8], [1.5, 0.9], {LR: 1e-4, BATCH: 8}),
        completed(1, [0.5, 0.8], [1.5, 0.4], {LR: 1.5e-3, BATCH: 16}),
    )
    first, second = (replace(one, trial_score=0.8) for one in confirmation().candidates)
    held = replace(confirmation(), candidates=(replace(second, mean=0.85), replace(first, mean=0.7)), optimism=-0.05)
    facts = read(make(trials, ending=replace(final(trials[1]), confirmation=held)))
    assert chosen(facts).startswith("Trial 1, the best of the search, kept its place")
    assert "(trial 1), was 0.0500 worse than that trial's mean over fresh seeds, 0.8500" in part("selection", facts)
