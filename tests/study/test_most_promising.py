"""The trial that completes although the time of the budget is used up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import Trial, TrialState

from support.promoting import BestGoesOn, PausedAtEach
from support.studies import PLAIN, Undisturbed, searched
from support.toys import ToyEngine
from sweep.records.spent import Spent, write_spent
from sweep.records.store import Store
from sweep.records.trial import TrialPlan, TrialRecord
from sweep.search import pruners
from sweep.search.promotion import PAUSED_AT, is_paused
from sweep.search.racing import RacingPruner
from sweep.study.most_promising import most_promising
from sweep.study.trial_groups import OwnPruner

from .test_budget import Clock
from .test_kills import Killed as KilledBetween
from .test_pausing import OPTIONS, KilledAtPause, comparable, use
from .test_search_going_on import Killed, at, kill

TIME = "study.budget.seconds=25"  # two epochs, of ten seconds each by the clock


@pytest.fixture(autouse=True)
def _promoting(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, BestGoesOn)


def first_score(record: TrialRecord) -> float:
    return record.outcome.evals[0].metrics["eval/accuracy"]


@pytest.fixture
def whole(undisturbed: Undisturbed) -> list[TrialRecord]:
    """Return all trials of the studies here, as they are without a pruner."""
    return undisturbed(*OPTIONS, *PLAIN).records


@pytest.fixture
def best(whole: list[TrialRecord]) -> int:
    """Return the number of the best of the two trials that have a score when the time is up."""
    return max(whole[:2], key=first_score).number


@pytest.mark.parametrize("slots", [1, 3])
def test_a_budget_that_ends_while_all_trials_are_paused_has_a_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    whole: list[TrialRecord], best: int, slots: int,
) -> None:  # fmt: skip
    clock = Clock(monkeypatch, 10)
    engine = ToyEngine(before=clock, slots=slots)
    records = searched(tmp_path, *OPTIONS, TIME, engine=engine)
    assert comparable(records) == comparable([whole[best]])
    assert engine.trained[-1].number == best and engine.trained[-1].snapshot is not None
    assert engine.together[-2:] == [1, 1]
    assert f"seconds is used up, and no trial has completed: trial {best} goes on to its end" in capsys.readouterr().err
    engine = ToyEngine(before=clock)
    assert searched(tmp_path, *OPTIONS, TIME, engine=engine) == records and engine.trained == []
    assert len(searched(tmp_path, *OPTIONS, engine=engine)) == 5


def test_the_pruner_does_not_pause_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[TrialRecord]
) -> None:
    use(monkeypatch, PausedAtEach)
    (record,) = searched(tmp_path, *OPTIONS, TIME, engine=ToyEngine(before=Clock(monkeypatch, 10)))
    assert (record.pauses, record.promotions) == (1, 1)
    assert comparable([record]) == comparable([whole[record.number]])


def test_where_it_fails_the_next_one_completes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best: int) -> None:
    def luck(trial: TrialPlan) -> float:
        return math.nan if trial.number == best and trial.snapshot is not None else 0.0

    engine = ToyEngine(before=Clock(monkeypatch, 10), luck=luck)
    records = searched(tmp_path, *OPTIONS, TIME, engine=engine)
    assert {record.number: record.state for record in records} == {best: "diverged", 1 - best: "completed"}


def test_after_a_kill_the_same_one_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[TrialRecord], best: int
) -> None:
    clock = Clock(monkeypatch, 10)

    def before(trial: TrialPlan, epoch: int) -> None:
        clock(trial, epoch)
        at(best, 3, kill)(trial, epoch)

    with pytest.raises(Killed):
        searched(tmp_path, *OPTIONS, TIME, engine=ToyEngine(before=before))
    engine = ToyEngine(before=clock)
    assert comparable(searched(tmp_path, *OPTIONS, TIME, engine=engine)) == comparable([whole[best]])
    assert [plan.number for plan in engine.trained] == [best]


def test_one_that_was_killed_as_it_was_paused_completes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[TrialRecord]
) -> None:
    """It has a score and no snapshot of that moment."""

    def luck(trial: TrialPlan) -> float:
        return float(trial.number)

    engine = KilledAtPause(luck=luck)
    with pytest.raises(KilledBetween):
        searched(tmp_path, *OPTIONS, engine=engine)
    write_spent(Store(tmp_path / "run").root, Spent(seconds=25))
    (record,) = searched(tmp_path, *OPTIONS, TIME, engine=ToyEngine(before=Clock(monkeypatch, 10), luck=luck))
    assert (record.number, record.state, record.params) == (1, "completed", whole[1].params)


def test_without_pauses_the_trial_with_the_best_score_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[TrialRecord]
) -> None:
    """Both trials are in their third epochs when the time is up."""
    engine = ToyEngine(before=Clock(monkeypatch, 10), slots=2)
    records = searched(tmp_path, *OPTIONS, *PLAIN, "study.budget.seconds=45", engine=engine)
    assert comparable(records) == comparable([max(whole[:2], key=first_score)])


def test_racing_chooses_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pruners._PRUNERS, "racing", RacingPruner)
    records = searched(tmp_path, *OPTIONS, TIME, engine=ToyEngine(before=Clock(monkeypatch, 10)))
    assert [record.state for record in records] == ["completed"]


def scored(study: optuna.Study, scores: Sequence[float], *, paused: bool = False) -> Trial:
    trial = study.ask()
    for step, score in enumerate(scores, start=1):
        trial.report(score, step)
    if paused:
        trial.set_user_attr(PAUSED_AT, len(scores))
    return trial


@pytest.mark.parametrize(("direction", "number"), [("maximize", 2), ("minimize", 1)])
def test_the_best_score_of_any_evaluation_decides_without_a_promoting_pruner(direction: str, number: int) -> None:
    study = optuna.create_study(direction=direction, pruner=OwnPruner(optuna.pruners.NopPruner(), None))
    assert most_promising(study) is None
    for scores in ([], [0.4, 0.1, 0.2], [0.7, 0.3], [math.nan], [0.7, 0.1]):
        scored(study, scores)
    study.tell(scored(study, [0.9, 0.0]), state=TrialState.PRUNED)
    assert most_promising(study) == number


def test_a_trial_without_any_number_is_better_than_none() -> None:
    study = optuna.create_study(pruner=OwnPruner(optuna.pruners.NopPruner(), None))
    scored(study, [math.nan])
    assert most_promising(study) == 0


def test_a_promoting_pruner_sees_all_trials_with_a_score_as_paused() -> None:
    class Seeing(BestGoesOn):
        def promote(self, study: optuna.Study, *, new: bool) -> int | None:
            seen.update({trial.number: is_paused(trial) for trial in study.get_trials(deepcopy=False)})
            return None if new else super().promote(study, new=new)

    seen: dict[int, bool] = {}
    study = optuna.create_study(direction="maximize", pruner=OwnPruner(Seeing(), None))
    scored(study, [0.1, 0.3], paused=True)
    scored(study, [])
    scored(study, [0.4])
    study.tell(scored(study, [0.9]), state=TrialState.PRUNED)
    assert most_promising(study) == 2
    assert seen == {0: True, 2: True, 3: False}
    assert not is_paused(study.trials[2])


def test_where_the_pruner_promotes_none_the_best_score_decides() -> None:
    class Promotes(BestGoesOn):
        promotions = 0

    study = optuna.create_study(direction="maximize", pruner=OwnPruner(Promotes(), None))
    scored(study, [0.1], paused=True)
    scored(study, [0.3], paused=True)
    assert most_promising(study) == 1
