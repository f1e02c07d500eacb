"""The ended trials of a study: which leads, and whose adapters are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.config.objective import Objective
from sweep.records.store import Store
from sweep.records.trial import Completed, Cost, EvalPoint, Outcome, Pruned, TrialRecord
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
