"""The choice of the winner, and the models that an earlier end of the study left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.toys import ToyEngine, ToySession, session
from sweep.config.schema import Config
from sweep.errors import UserError
from sweep.final.confirm import Chosen, _arrange_folders, _update_records, choose
from sweep.records.cost import Cost
from sweep.records.final import Candidate, Confirmation, FinalRecord, Parameters
from sweep.records.store import Store
from sweep.records.trial import EvalPoint, TrialPlan
from sweep.study.search import search

GROUP = ("study.space=adapters", "study.compare_by=adapter", "study.pruner=none", "study.n_trials=6")
POINT = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.8})


def luck(trial: TrialPlan) -> float:
    """Head wins, then IA3, then LoRA."""
    return {"lora": 0.0, "ia3": 10.0, "head": 20.0}[str(trial.params["adapter"])]


def chosen(opened: ToySession) -> list[tuple[str, int, str]]:
    root = opened.store.root
    return [
        (str(one.choice), one.record.number, str(one.folder.relative_to(root)))
        for one in choose(opened, search(opened))
    ]


def final_record(number: int) -> FinalRecord:
    return FinalRecord(
        number=number, params={}, command="", trial_best=POINT, retrain_best=POINT, trial_evals=(), retrain_evals=(),
        test={"test/accuracy": 0.75}, test_seconds=1.0, test_rows=8, baseline={}, cost=Cost(),
        parameters=Parameters(2, 1, 8), label_names=("a", "b"), confusion=((4, 0), (2, 2)), config=Config(),
    )  # fmt: skip


def kept(store: Store) -> dict[str, int]:
    return {str(path.relative_to(store.root)): record.number for path, record in store.finals().items()}


def test_the_winner_comes_first_and_the_best_of_each_other_method_after_it(tmp_path: Path) -> None:
    with session(tmp_path, *GROUP, engine=ToyEngine(luck=luck)) as opened:
        found = chosen(opened)
        scores = {record.number: opened.plan.config.study.objective.of(record.best.metrics)
                  for record in opened.store.trials() if record.best}  # fmt: skip
        methods = {record.number: record.params["adapter"] for record in opened.store.trials()}
    assert [(method, folder) for method, _, folder in found] == [
        ("head", "final"), ("ia3", "methods/ia3"), ("lora", "methods/lora"),
    ]  # fmt: skip
    for method, number, _ in found:
        assert scores[number] == max(score for other, score in scores.items() if methods[other] == method)


def test_means_over_fresh_seeds_decide_between_methods_too(tmp_path: Path) -> None:
    def fades(trial: TrialPlan) -> float:
        return luck(trial) if trial.config.trainer.seed == 0 else -luck(trial)

    options = (*GROUP, "study.confirm_seeds=2", "study.confirm_top=1")
    with session(tmp_path, *options, engine=ToyEngine(luck=fades)) as opened:
        assert chosen(opened)[0][0] == "lora"


def test_a_method_without_a_completed_trial_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = ToyEngine(luck=lambda trial: float("nan") if trial.params["adapter"] == "ia3" else 0.0)
    with session(tmp_path, *GROUP, engine=engine) as opened:
        assert {method for method, _, _ in chosen(opened)} == {"lora", "head"}
    assert "no trial completed with adapter ia3" in capsys.readouterr().err


def test_without_any_completed_trial_there_is_no_winner(tmp_path: Path) -> None:
    engine = ToyEngine(luck=lambda trial: float("nan"))
    with (
        session(tmp_path, *GROUP, "study.max_failures_in_a_row=null", engine=engine) as opened,
        pytest.raises(UserError, match="no trial completed.*trial 0 diverged"),
    ):
        choose(opened, search(opened))


@pytest.fixture
def ended(tmp_path: Path) -> Store:
    """A study that ended with trial 3 as its winner, of LoRA, and trial 4 as the best of IA3."""
    store = Store(tmp_path)
    for number, folder in ((3, store.final_dir), (4, store.choice_dir("ia3"))):
        store.write_final(final_record(number), folder=folder)
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text(str(number))
    return store


def choice(store: Store, **numbers: int) -> list[Chosen]:
    """A trial for each method, the winner first."""
    with session(store.root / "toy", "study.n_trials=1", "study.pruner=none") as opened:
        (record,) = search(opened)
    folders = [store.final_dir, *(store.choice_dir(name) for name in [*numbers][1:])]
    return [
        Chosen(replace(record, number=number), None, folder, method)
        for folder, (method, number) in zip(folders, numbers.items(), strict=True)
    ]


def test_a_compared_value_is_named_with_its_key(ended: Store) -> None:
    first, second = choice(ended, lora=3, ia3=4)
    assert second.title == "trial 4"
    assert replace(second, choice=1, compared="trainer.seed").title == "trial 4 (trainer.seed=1)"
    assert first.compared is None


def test_models_stay_where_they_are_if_the_same_ones_are_chosen(ended: Store) -> None:
    _arrange_folders(ended, choice(ended, lora=3, ia3=4))
    assert kept(ended) == {"final": 3, "methods/ia3": 4}


def test_models_change_places_when_another_method_wins(ended: Store) -> None:
    _arrange_folders(ended, choice(ended, ia3=4, lora=3))
    assert kept(ended) == {"final": 4, "methods/lora": 3}
    assert (ended.final_dir / "model" / "weights").read_text() == "4"


def test_a_model_gives_way_to_a_new_winner_of_another_method(ended: Store) -> None:
    _arrange_folders(ended, choice(ended, ia3=9, lora=3))
    assert kept(ended) == {"methods/lora": 3}


def test_a_model_that_was_not_chosen_again_is_dropped(ended: Store) -> None:
    _arrange_folders(ended, choice(ended, lora=3, ia3=8))
    assert kept(ended) == {"final": 3}
    assert not list(ended.root.glob("methods/*moving*"))


def test_a_kept_record_hears_of_later_seeds_and_readings(ended: Store) -> None:
    for one in ([3, 4], [3, 4]):
        ended.note_test_reading(one[0], one)
    first, second = choice(ended, lora=3, ia3=4)
    candidate = Candidate(3, {}, 0.8, (0.7, 0.6), 0.65, (0.1, 1.0))
    confirmed = Confirmation((candidate,), 0.15, Cost())
    _update_records(ended, [replace(first, confirmation=confirmed), second])
    final, other = ended.final(), ended.final(ended.choice_dir("ia3"))
    assert final is not None and other is not None
    assert (final.confirmation, final.test_readings, other.test_readings) == (confirmed, 2, 2)
