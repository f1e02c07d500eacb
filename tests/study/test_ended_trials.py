"""The ended trials of a study: which leads, and whose adapters are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.config.objective import Objective
from sweep.config.schema import Config
from sweep.records.cost import Cost
from sweep.records.counted import counting
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, Outcome, Pruned, TrialPlan, TrialRecord
from sweep.study.ended_trials import EndedTrials

ACCURACY = Objective("eval/accuracy", maximize=True)


def completed(score: float) -> Outcome:
    point = EvalPoint(1, 10, 1.0, {"eval/accuracy": score, "eval/loss": 1 - score})
    return Completed(point, (point,), Cost())


def record(number: int, outcome: Outcome, method: str = "lora") -> TrialRecord:
    return TrialRecord(number, {"adapter": method}, outcome, "", 10, "", "")


def kept(store: Store) -> list[int]:
    return sorted(int(folder.parent.name) for folder in store.root.glob("trials/*/best"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for number in range(4):
        (store.trial_dir(number) / "best").mkdir(parents=True)
    return store


def test_records_of_earlier_processes_and_new_ones_are_known_by_number(store: Store) -> None:
    store.write_trial(record(2, completed(0.5)))
    ended = EndedTrials(store, ACCURACY)
    ended.write(record(1, completed(0.7)))
    assert [one.number for one in ended.records] == [1, 2]
    assert ended.records == store.trials()
    best = ended.best()
    assert best is not None and best.number == 1


def test_trials_count_in_the_order_in_which_they_ended_whatever_the_clock_says(store: Store) -> None:
    store.write_trial(replace(record(5, completed(0.5)), finished="2026-03-29T02:30"))  # of an earlier version
    for number, finished in ((1, "2026-03-29T02:50"), (0, "2026-03-29T02:10"), (3, "2026-03-29T03:20")):
        EndedTrials(store, ACCURACY).write(replace(record(number, completed(0.7)), finished=finished))
    assert [one.number for one in counting(store.trials())] == [5, 1, 0, 3]
    EndedTrials(store, ACCURACY).write_again(replace(record(2, completed(0.7)), finished="2026-03-29T03:00"))
    assert [one.number for one in counting(store.trials())] == [5, 1, 0, 2, 3]


def test_adapters_of_the_best_trial_alone_are_kept(store: Store) -> None:
    ended = EndedTrials(store, ACCURACY)
    for number, score in ((0, 0.5), (1, 0.7), (2, 0.6)):
        ended.write(record(number, completed(score)))
        ended.keep_best_only()
    ended.write(record(3, Pruned((), Cost())))
    ended.keep_best_only()
    assert kept(store) == [1]


def test_adapters_of_an_earlier_process_are_deleted_where_a_better_trial_is_known(store: Store) -> None:
    store.write_trial(record(0, completed(0.5)))
    store.write_trial(record(1, completed(0.7)))
    EndedTrials(store, ACCURACY).keep_best_only()
    assert kept(store) == [1, 2, 3]  # 2 and 3 have not ended


def test_each_compared_value_has_its_best_trial(store: Store) -> None:
    ended = EndedTrials(store, ACCURACY, "adapter")
    for number, (score, method) in enumerate(((0.5, "lora"), (0.9, "ia3"), (0.6, "lora"))):
        ended.write(record(number, completed(score), method))
    ended.keep_best_only()
    assert kept(store) == [1, 2, 3]
    assert {value: [one.number for one in group] for value, group in ended.groups().items()} == {
        "ia3": [1], "lora": [2, 0],
    }  # fmt: skip


def test_the_reach_of_two_objectives_is_that_of_each_compared_value(store: Store) -> None:
    """The best of the other value is out of reach of all: 2 is the cheapest that is nearly as good
    as 1, and 3 is too far from it."""
    within = Objective("eval/accuracy", maximize=True, second=Objective("cost/seconds", maximize=False), within=0.1)
    ended = EndedTrials(store, within, "adapter")
    trials = ((0.90, 5, "ia3"), (0.60, 9, "lora"), (0.55, 1, "lora"), (0.40, 0.5, "lora"))
    for number, (score, seconds, method) in enumerate(trials):
        outcome = completed(score)
        assert isinstance(outcome, Completed)
        ended.write(record(number, replace(outcome, cost=Cost(seconds=seconds)), method))
    groups = {value: [one.number for one in group] for value, group in ended.groups().items()}
    assert groups == {"ia3": [0], "lora": [2, 1, 3]} and next(iter(groups)) == "ia3"


def test_adapters_of_trials_that_may_come_to_lead_are_kept(store: Store) -> None:
    """Trial 0 is the cheapest within reach of the best. A better score puts it out of reach, and
    then trial 1 leads, never trial 2, which is worse in both."""
    within = Objective("eval/accuracy", maximize=True, second=Objective("cost/seconds", maximize=False), within=0.1)
    ended = EndedTrials(store, within)

    def costly(score: float, seconds: float) -> Outcome:
        outcome = completed(score)
        assert isinstance(outcome, Completed)
        return replace(outcome, cost=Cost(seconds=seconds))

    trial = TrialPlan(1, {"adapter": "lora"}, Config.model_construct(), 10, "")
    for number, (score, seconds) in enumerate(((0.70, 1), (0.75, 2), (0.72, 3))):
        ended.write(record(number, costly(score, seconds)))
        ended.keep_best_only()
    assert kept(store) == [0, 1, 3]
    assert ended.leads(replace(trial, number=4), costly(0.79, 9))
    assert not ended.leads(replace(trial, number=4), costly(0.74, 9))
    ended.write(record(3, costly(0.84, 9)))
    ended.keep_best_only()
    best = ended.best()
    assert best is not None and best.number == 1 and kept(store) == [1, 3]
