from __future__ import annotations

from pathlib import Path

import pytest

from sweep.config.schema import Config
from sweep.final.confirm import Chosen, _arrange_folders
from sweep.records.cost import Cost
from sweep.records.final import FinalRecord, Parameters
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, TrialRecord

POINT = EvalPoint(1, 1, 1.0, {"eval/accuracy": 0.5})


def trial(number: int) -> TrialRecord:
    return TrialRecord(number, {}, Completed(POINT, (POINT,), Cost()), "", 1, "", "")


def final(number: int) -> FinalRecord:
    return FinalRecord(
        number=number, params={}, command="", trial_best=POINT, retrain_best=POINT, trial_evals=(), retrain_evals=(),
        test={}, test_seconds=1.0, test_rows=1, baseline={}, cost=Cost(), parameters=Parameters(1, 1, 4),
        label_names=("a",), confusion=(), config=Config(),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """LoRA's trial 1 won, IA3's trial 2 and the head's trial 3 were tested beside it."""
    store = Store(tmp_path)
    store.write_final(final(1))
    store.write_final(final(2), folder=store.choice_dir("ia3"))
    store.write_final(final(3), folder=store.choice_dir("head"))
    return store


def settled(store: Store, **chosen: int) -> dict[str, int]:
    """`final` is the winner's number, the others those of methods."""
    folders = {"final": store.final_dir, **{method: store.choice_dir(method) for method in chosen if method != "final"}}
    _arrange_folders(store, [Chosen(trial(number), None, folders[method], method) for method, number in chosen.items()])
    return {folder.name: record.number for folder, record in store.finals().items()}


def test_another_winner_changes_places_with_the_former(store: Store) -> None:
    assert settled(store, final=2, lora=1, head=3) == {"final": 2, "lora": 1, "head": 3}


def test_a_model_not_chosen_again_is_deleted_but_a_winner_stays_until_the_next(store: Store) -> None:
    assert settled(store, final=4, ia3=2, head=5) == {"final": 1, "ia3": 2}


def test_a_record_on_its_way_is_found_after_a_kill(store: Store) -> None:
    store.final_dir.replace(store.choice_dir(".moving-1"))
    assert settled(store, final=2, lora=1, head=3) == {"final": 2, "lora": 1, "head": 3}
