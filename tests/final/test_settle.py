from __future__ import annotations

from pathlib import Path

from sweep.config.schema import Config
from sweep.final.confirm import Chosen, _settle
from sweep.records import Completed, Cost, EvalPoint, FinalRecord, Parameters, TrialRecord
from sweep.store import Store

BEST = EvalPoint(1, 8, 1.0, {"eval/accuracy": 0.5})


def chosen(folder: Path, number: int, method: str) -> Chosen:
    record = TrialRecord(number, {"adapter": method}, Completed(BEST, (BEST,), Cost()), "", 8, "", "")
    return Chosen(record, None, folder, method)


def final(number: int) -> FinalRecord:
    return FinalRecord(
        number=number, params={}, command="", trial_best=BEST, retrain_best=BEST, trial_evals=(BEST,),
        retrain_evals=(BEST,), test={}, test_seconds=0.0, test_rows=1, baseline={}, cost=Cost(),
        parameters=Parameters(1, 1, 4), label_names=("a", "b"), confusion=((1, 0), (0, 0)), config=Config(),
    )  # fmt: skip


def test_methods_that_swap_places_survive_a_process_killed_on_the_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_final(final(0), folder=store.method_dir("lora"))
    store.write_final(final(1), folder=store.final_dir)
    # Killed when the first was out of the way, and the second was not yet.
    (tmp_path / "methods.moving").mkdir()
    store.method_dir("lora").replace(tmp_path / "methods.moving" / "0")
    _settle(store, [chosen(store.final_dir, 0, "lora"), chosen(store.method_dir("ia3"), 1, "ia3")])
    assert {path.name: record.number for path, record in store.confirmed().items()} == {"final": 0, "ia3": 1}
    assert not (tmp_path / "methods.moving").exists()
