"""Whether more trials are likely to pay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from report.conftest import BATCH, LR, completed, cost, final, folded, part, six_trials, trial, words
from sweep.analysis.facts import Facts, read
from sweep.analysis.outlook import outlook
from sweep.analysis.study import analyse
from sweep.analysis.summary import study_summary
from sweep.analysis.trials import progress
from sweep.config.stop import StopConfig
from sweep.records.cost import Cost
from sweep.records.store import Store
from sweep.records.trial import Pruned, TrialRecord
from sweep.records.warm_start import WarmRun, WarmTrial, write_warm_start
from sweep.report.environment import render


def trials(number: int) -> tuple[TrialRecord, ...]:
    """Each trial is worse than the one before it."""
    return tuple(completed(one, [0.5, 0.9 - 0.02 * one], [1.0, 0.9], {LR: 1e-3}) for one in range(number))


def paused_trials(first: int, end: int) -> tuple[TrialRecord, ...]:
    """Return trials that are paused after 24 s and 120 of 180 steps."""
    return tuple(
        replace(trial(number, {LR: 1e-3}, Pruned((), cost(24.0, 120))), pauses=1) for number in range(first, end)
    )


def with_study(facts: Facts, **study: object) -> Facts:
    config = facts.config.model_copy(update={"study": facts.study.model_copy(update=study)})
    return replace(facts, lock=replace(facts.lock, config=config))


def test_few_trials_tell_nothing_and_the_report_says_so(make: Callable[..., Store]) -> None:
    facts = read(make(six_trials()))
    found = outlook(facts)
    assert found is not None and found.groups[0].pays == "unknown" and found.stopped is None
    said = part("headline", facts)
    assert "would pay is not known: 5 ended, 2 of them completed, and an estimate takes 8 and 3" in said
    assert "outlook/expected_gain" not in study_summary(facts)


def test_compared_trials_are_named_with_the_key(make: Callable[..., Store]) -> None:
    facts = with_study(read(make(six_trials())), compare_by=BATCH)
    found = outlook(facts)
    assert found is not None and [one.choice for one in found.groups] == [8, 16]
    assert f"with `{BATCH}` 8 would pay is not known" in part("headline", facts)
    said = render("study/summary.txt.j2", study=analyse(facts), report="r")
    assert f"more trials with {BATCH}=16: not known whether they pay" in said


def test_the_trials_left_are_asked_about_first(make: Callable[..., Store]) -> None:
    facts = with_study(read(make(trials(10))), n_trials=14)
    found = outlook(facts)
    assert found is not None
    one = found.groups[0]
    assert (one.more, one.planned, one.ended, one.completed) == (4, True, 10, 10)
    assert one.expected is not None and one.limit is not None and 0 < one.expected < one.limit
    assert "The 4 trials left are expected to raise the best eval/accuracy by" in part("headline", facts)
    again = outlook(with_study(facts, n_trials=10))
    assert again is not None and (again.groups[0].more, again.groups[0].planned) == (10, False)
    said = part("headline", with_study(facts, n_trials=10))
    assert "As many trials again (10) are expected to raise" in said and "one standard error of the best score" in said


def test_a_stopped_search_lacks_nothing_and_says_what_it_saved(make: Callable[..., Store]) -> None:
    """A trial took 24 s and saw 960 rows."""
    facts = with_study(read(make(trials(10))), n_trials=20, stop=StopConfig(patience=9))
    study = analyse(facts)
    assert study.outlook is not None and study.outlook.stopped is not None
    stopped = study.outlook.stopped
    assert (stopped.rule, stopped.value, stopped.trials) == ("patience", 9, 10)
    assert (stopped.seconds, stopped.rows) == (240, 9600)
    assert study.progress.left == 0
    said = part("headline", facts)
    assert "`study.stop.patience=9` ended the search: 10 trials did not run" in said
    assert "saved about 240 s (4 min) of a device and 9,600 trained rows" in said
    assert "trials of 20" not in said
    paused = part("headline", replace(facts, paused_records=paused_trials(10, 12), final=final(trials(1)[0])))
    assert "8 trials did not run" in paused
    assert (
        "2 paused trials did not go on, which saved at most about 24.00 s of a device and 960 trained rows." in paused
    )
    assert "2 trials are paused and may go on without `study.stop`" in paused
    assert "`study.stop.patience=null` with the same command runs them." in paused
    assert study_summary(facts)["outlook/trials_saved"] == 10
    assert "study.stop.patience ended the search; 10 trials saved" in render(
        "study/summary.txt.j2", study=study, report="r"
    )


def test_paused_trials_did_not_go_on_and_trials_that_are_put_away_will(make: Callable[..., Store]) -> None:
    facts = with_study(read(make(trials(10))), n_trials=20, stop=StopConfig(patience=9))
    some = replace(facts, paused_records=paused_trials(10, 14))
    found = outlook(some)
    assert found is not None and found.stopped is not None
    assert (found.stopped.trials, found.stopped.paused, found.stopped.seconds) == (6, 4, 144)
    said = part("headline", some)
    assert "ended the search: 6 trials did not run" in said and "4 paused trials did not go on" in said
    said = part("headline", replace(facts, paused_records=paused_trials(10, 20)))
    assert "`study.stop.patience=9` ended the search. 10 paused trials did not go on, which saved at most" in said
    for left in ({"put_away": (10,)}, {"unfinished": (10,)}):
        on_the_way = outlook(replace(facts, **left))
        assert on_the_way is not None and on_the_way.stopped is None


def test_the_most_that_paused_trials_would_have_cost_follows_from_the_budget_of_racing(
    make: Callable[..., Store],
) -> None:
    """Ten trials of 180 steps, of which two completed and eight are paused after 20 steps: racing
    trains 30 % of 1,800 steps, and 520 were trained. A step took 0.2 s and saw 8 rows."""
    ended = tuple(replace(one, total_steps=180) for one in longer(trials(2)))
    store = make(ended)
    for number in range(2, 10):
        store.write_pause(replace(trial(number, {LR: 1e-3}, Pruned((), cost(4.0, 20))), pauses=1))
    facts = with_study(read(store), n_trials=10, pruner="racing", stop=StopConfig(patience=1))
    found = outlook(facts)
    assert found is not None and found.stopped is not None
    stopped = found.stopped
    assert (stopped.trials, stopped.paused, stopped.seconds) == (0, 8, 0)
    assert stopped.paused_seconds == pytest.approx(0.2 * (540 - 520)) and stopped.paused_rows == pytest.approx(8 * 20)
    said = part("headline", facts)
    assert "ended the search. 8 paused trials did not go on, which saved at most about 4.00 s" in said
    assert "and 160 trained rows." in said
    full = with_study(facts, pruner_options={"budget": 1.0})
    found = outlook(full)
    assert found is not None and found.stopped is not None
    assert found.stopped.paused_rows == pytest.approx(8 * 8 * 160)
    spent = outlook(with_study(facts, pruner_options={"budget": 0.1}))
    assert spent is not None and spent.stopped is not None and spent.stopped.paused_rows == 0


def test_paused_trials_would_have_trained_all_folds(make: Callable[..., Store]) -> None:
    """As above, with three folds: 1,560 of 5,400 steps were trained."""
    ended = tuple(
        replace(one, total_steps=180, outcome=replace(one.outcome, cost=cost(108.0, 540))) for one in trials(2)
    )
    store = make(ended)
    for number in range(2, 10):
        store.write_pause(replace(trial(number, {LR: 1e-3}, Pruned((), cost(12.0, 60))), pauses=1))
    facts = folded(with_study(read(store), n_trials=10, pruner="racing", stop=StopConfig(patience=1)), 3)
    found = outlook(facts)
    assert found is not None and found.stopped is not None
    assert found.stopped.paused_seconds == pytest.approx(0.2 * (1620 - 1560))
    assert found.stopped.paused_rows == pytest.approx(8 * 60)


def longer(found: tuple[TrialRecord, ...]) -> list[TrialRecord]:
    """Return the trials with the cost of 180 steps, a fifth of a second each."""
    return [replace(one, outcome=replace(one.outcome, cost=cost(36.0, 180))) for one in found]


def test_what_paused_trials_cost_counts(make: Callable[..., Store]) -> None:
    store = make(trials(2))
    before = read(store).spent.seconds
    store.write_pause(replace(trials(3)[2], outcome=Pruned((), Cost(seconds=5))))
    assert read(store).paused == (2,) and read(store).spent.seconds == before + 5


def test_a_grid_has_an_end(make: Callable[..., Store]) -> None:
    facts = with_study(read(make(trials(10))), sampler="grid", n_trials=50)
    facts = replace(facts, lock=replace(facts.lock, space={LR: {"choices": [*range(10)]}}))
    found = outlook(facts)
    assert found is not None and found.exhausted and found.groups == ()
    held = progress(facts)
    assert (held.counted, held.planned, held.left) == (10, 10, 0)
    assert "10 trials ended, 10 were planned" in part("headline", facts)


def test_a_metric_without_an_error_is_compared_with_a_hundredth(make: Callable[..., Store]) -> None:
    facts = with_study(read(make(trials(10))), metric="eval/loss", direction="minimize")
    found = outlook(facts)
    assert found is not None and not found.groups[0].measured and found.groups[0].worth == pytest.approx(0.009)
    assert "not all with one score" in part("headline", facts), "their losses are equal"


def test_one_training_has_no_outlook(make: Callable[..., Store]) -> None:
    assert outlook(with_study(read(make(trials(1))), n_trials=1)) is None


def test_the_report_names_what_was_taken_over(make: Callable[..., Store]) -> None:
    store = make(trials(4))
    runs = (
        WarmRun("/runs/a", "1", trials=(WarmTrial({LR: 1e-3}, 0.9, {8: 0.9}), WarmTrial({LR: 1e-4}, None, {1: 0.2}))),
        WarmRun("/runs/b", "2", ("data fingerprint",), points=({LR: 1e-3},), left_out=2),
    )
    write_warm_start(store.root, runs)
    facts = read(store)
    assert facts.warm_start == runs
    said = " ".join(words(store).split())
    assert "| warm start | `/runs/a`: 2 trials for the sampler, 0 points tried first |" in said
    assert "1 point tried first, 2 trials left out; another experiment (data fingerprint)" in said
    summary = study_summary(facts)
    assert (summary["warm_start/runs"], summary["warm_start/trials"], summary["warm_start/points"]) == (2, 2, 1)
