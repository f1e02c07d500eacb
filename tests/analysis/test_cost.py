"""The numbers of trials and trainings, which all places that show them have alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from report.conftest import BATCH, LR, cost, final, part, section, six_trials, trial, words
from support.reports import summary_lines
from sweep.analysis.cost import spending
from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.analysis.summary import study_summary
from sweep.records.cost import Cost
from sweep.records.store import Store
from sweep.records.trial import Completed, Failed, FailureReason, Pruned
from sweep.track.study_progress import of_records


def mixed(make: Callable[..., Store]) -> Store:
    """Return a run directory with a trial of each kind: completed (one of them resumed), pruned
    (one after a pause), diverged, out of memory, interrupted, infeasible before it trained, lost
    with its cost, two paused and one put away."""
    trials = six_trials()
    resumed = replace(trials[0], pauses=1, promotions=1)
    more = (
        replace(trial(6, {LR: 1e-4, BATCH: 8}, Pruned((), cost(4.0, 40))), pauses=1),
        trial(7, {LR: 2e-4, BATCH: 8}, Failed(FailureReason.INFEASIBLE, "beyond a limit", (), Cost())),
        trial(8, {LR: 3e-4, BATCH: 8}, Failed(FailureReason.LOST, "the process ended", (), Cost())),
    )
    store = make((resumed, *trials[1:], *more), ending=final(trials[1]))
    for number in (9, 10):
        store.write_pause(replace(trial(number, {LR: 4e-4, BATCH: 8}, Pruned((), cost(3.0, 30))), pauses=1))
    (store.root / "trials" / "0011").mkdir()
    return store


def test_all_places_count_alike(make: Callable[..., Store]) -> None:
    store = mixed(make)
    facts = read(store)
    progress, found = analyse(facts).progress, study_summary(facts)
    counts = {"trials": 7, "completed": 2, "pruned": 2, "failed": 3, "stopped": 2, "paused": 2, "put_away": 1}
    assert progress.counted == progress.completed + progress.pruned + progress.failed == counts["trials"]
    assert (progress.completed, progress.pruned, progress.failed, progress.stopped) == (2, 2, 3, 2)
    assert (progress.paused, progress.put_away) == ((9, 10), (11,))
    assert {name: found[f"study/{name}"] for name in counts} == counts
    counted = of_records(facts.study, facts.trials, 0.0)
    rows = counted.metrics(0.0)
    assert {name: rows[f"study/trials_{name}"] for name in ("ended", "completed", "pruned", "failed", "stopped")} == {
        "ended": 7, "completed": 2, "pruned": 2, "failed": 3, "stopped": 2,
    }  # fmt: skip
    assert str(counted).startswith(
        "Trials: 2 completed, 1 diverged, 1 infeasible, 1 out_of_memory, 2 pruned, 2 stopped"
    )
    said = (
        "2 completed, 2 pruned, 3 failed (1 diverged, 1 infeasible, 1 out of memory); 2 stopped on the way; 1 put away"
    )
    assert said in summary_lines(store)[0] and said in part("headline", facts)


def test_the_number_of_trainings_is_that_of_the_costs_in_the_sum(make: Callable[..., Store]) -> None:
    """Of eleven trials one was refused and one lost with its cost; the winner was retrained."""
    store = mixed(make)
    facts = read(store)
    found = spending(facts)
    assert found is not None
    assert (found.counted, found.runs, found.lost, found.paused) == (9, 10, 1, 2)
    trials, retraining, whole = found.parts
    assert (trials.runs, retraining.runs, whole.runs) == (9, 1, 10)
    assert trials.cost.seconds + retraining.cost.seconds == whole.cost.seconds == found.spent.seconds
    assert sum(one.cost.seconds for one in found.trials) == trials.cost.seconds == found.searching.seconds
    assert [one.number for one in found.trials] == list(range(11)) and found.trials[9].state == "paused"
    assert "10 training runs, 2 of them of paused trials, took" in part("headline", facts)
    costs = section(words(store), "What it cost")
    assert "| 9 trials |" in costs and "9 trials took" in costs and "| trial 9, paused |" in costs


def test_a_study_with_paused_trials_alone_has_a_cost(make: Callable[..., Store]) -> None:
    store = make()
    store.write_pause(replace(trial(0, {LR: 4e-4, BATCH: 8}, Pruned((), cost(3.0, 30))), pauses=1))
    found = spending(read(store))
    assert found is not None and (found.runs, found.counted, found.spent.seconds) == (1, 1, 3.0)


def test_a_trial_that_is_tried_again_does_not_end_a_study(make: Callable[..., Store]) -> None:
    """Five of six trials ended, and one is tried again: none has completed yet."""
    failed = [one if not isinstance(one.outcome, Completed) else replace(
        one, outcome=Failed(FailureReason.DIVERGED, "loss is nan", (), cost(1.0, 2))) for one in six_trials()]  # fmt: skip
    assert analyse(read(make(failed), running=False)).state == "interrupted"
