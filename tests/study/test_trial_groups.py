"""The trials that a sampler and a pruner see: in a group run those of one method, and never a
trial that is tried again."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from support.promoting import BestGoesOn
from support.studies import points, searched
from support.toys import ToyEngine, session
from sweep.config.schema import StudyConfig
from sweep.errors import Interrupted, UserError
from sweep.plan.plan import make_plan
from sweep.records.trial import TrialPlan, TrialRecord
from sweep.search.constraints import OUTCOME
from sweep.search.promotion import PAUSED_AT, is_paused
from sweep.search.pruners import pruner
from sweep.study.next_point import next_point
from sweep.study.optuna_study import OptunaStudy
from sweep.study.trial_groups import RETRIED, OwnPruner, OwnSampler, PausedNow

GROUP = ("study.space=adapters", "study.compare_by=adapter")
PLAIN = (*GROUP, "study.pruner=none")


def budgets(records: list[TrialRecord]) -> dict[object, int]:
    return dict(Counter(record.params["adapter"] for record in records))


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "gp"])
def test_each_method_gets_the_same_number_of_trials(tmp_path: Path, name: str) -> None:
    records = searched(tmp_path, *PLAIN, f"study.sampler={name}", "study.n_trials=7")
    assert budgets(records) == {"lora": 3, "ia3": 2, "head": 2}
    for record in records:
        assert ("adapter.r" in record.params) == (record.params["adapter"] == "lora")


def test_a_resumed_group_run_asks_for_the_same_points(tmp_path: Path) -> None:
    whole = searched(tmp_path / "a", *PLAIN, "study.n_trials=9")
    searched(tmp_path / "b", *PLAIN, "study.n_trials=4")
    assert points(searched(tmp_path / "b", *PLAIN, "study.n_trials=9")) == points(whole)


def test_a_trial_that_goes_on_counts_once_within_its_method(tmp_path: Path) -> None:
    def interrupt(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        searched(tmp_path, *PLAIN, "study.n_trials=6", engine=ToyEngine(interrupt))
    records = searched(tmp_path, *PLAIN, "study.n_trials=6")
    assert [record.number for record in records] == list(range(6))
    assert budgets(records) == {"lora": 2, "ia3": 2, "head": 2}


def test_known_points_count_towards_their_method(tmp_path: Path) -> None:
    enqueue = "study.enqueue=[{adapter: head, optimizer.learning_rate: 0.002}]"
    records = searched(tmp_path, *PLAIN, enqueue, "study.n_trials=6")
    assert records[0].params["adapter"] == "head" and records[0].params["optimizer.learning_rate"] == 0.002
    assert budgets(records) == {"lora": 2, "ia3": 2, "head": 2}


def test_a_good_method_prunes_no_trial_of_another(tmp_path: Path) -> None:
    """Each trial of a method is better than the one before, so that by its own standard none is
    weak."""
    luck = {"lora": 30.0, "ia3": 20.0, "head": 10.0}
    engine = ToyEngine(luck=lambda trial: luck[str(trial.params["adapter"])] + trial.number)
    alone = searched(tmp_path / "a", "study.space=adapters", "study.pruner=median", "study.n_trials=9", engine=engine)
    assert "pruned" in {record.state for record in alone}
    engine = ToyEngine(luck=engine.luck)
    grouped = searched(tmp_path / "b", *GROUP, "study.pruner=median", "study.n_trials=9", engine=engine)
    assert {record.state for record in grouped} == {"completed"}


def test_a_trial_that_goes_on_races_once(tmp_path: Path) -> None:
    options = ("study.sampler=random", "study.pruner=racing", "study.n_trials=8")

    def states(records: list[TrialRecord]) -> list[str]:
        return [record.state for record in records]

    def interrupt(trial: TrialPlan, epoch: int) -> None:
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    whole = searched(tmp_path / "a", *options)
    for _ in range(3):
        with pytest.raises(Interrupted):
            searched(tmp_path / "b", *options, engine=ToyEngine(interrupt))
    assert states(searched(tmp_path / "b", *options)) == states(whole)
    assert "pruned" in states(whole)


def test_a_method_s_own_weak_trial_is_pruned(tmp_path: Path) -> None:
    engine = ToyEngine(luck=lambda trial: -float(trial.number))
    records = searched(tmp_path, *GROUP, "study.pruner=median", "study.n_trials=9", engine=engine)
    assert [record.state for record in records[6:]] == ["pruned"] * 3


def test_the_sampler_learns_from_trials_of_the_same_method_alone(tmp_path: Path) -> None:
    """The scores of other methods change nothing."""
    options = (*PLAIN, "study.n_trials=18")
    first = searched(tmp_path / "a", *options)
    engine = ToyEngine(luck=lambda trial: 0.0 if trial.params["adapter"] == "lora" else -float(trial.number))
    second = searched(tmp_path / "b", *options, engine=engine)

    def of(records: list[TrialRecord], method: str) -> list[str]:
        return points([record for record in records if record.params["adapter"] == method])

    assert of(first, "lora") == of(second, "lora")
    assert of(first, "ia3") != of(second, "ia3")


@pytest.mark.parametrize(
    ("more", "path", "part"),
    [
        (["study.compare_by=adaptor"], "study.compare_by", "did you mean adapter?"),
        (["study.compare_by=optimizer.learning_rate"], "study.compare_by", "this search has: adapter, adapter.r, "),
        (["study.compare_by=adapter.r"], "study.compare_by", "only under a condition"),
        (["adapter=lora"], "study.compare_by", "must be a searched key"),
        (["study.n_trials=2"], "study.n_trials", "is 2, but must be at least 3: one trial for each adapter"),
        (["study.sampler=grid"], "study.sampler", "study.compare_by needs another sampler"),
        (["study.enqueue=[{optimizer.learning_rate: 0.001}]"], "study.enqueue[0]", "must name adapter"),
    ],
)
def test_a_key_that_cannot_be_compared_is_refused(more: list[str], path: str, part: str) -> None:
    with pytest.raises(UserError) as caught:
        make_plan(["+experiment=quickstart", *GROUP, *more])
    assert part in {fault.path: str(fault) for fault in caught.value.faults}[path]


def test_scores_of_a_course_that_was_left_are_not_judged(tmp_path: Path) -> None:
    """The first trial went on otherwise from step 2: its former score at step 3 is not its own any
    more, nor what the pruner compares with."""
    with session(tmp_path, "study.pruner=none") as opened:
        study = OptunaStudy.open(opened.plan.config.study, opened.plan.space, opened.store)
        seen: list[dict[int, dict[int, float]]] = []

        class Seeing(NopPruner):
            def prune(self, study: Study, trial: FrozenTrial) -> bool:
                seen.append({one.number: one.intermediate_values for one in (*study.get_trials(), trial)})
                return False

        study.study.pruner = OwnPruner(Seeing(), None)
        (left, _), (other, _) = study.ask(), study.ask()
        for step, score in ((1, 0.5), (2, 0.6), (3, 0.9), (2, 0.4)):
            study.report(left, [score], step, judged=True, warm=True)
        assert seen[-1] == {0: {1: 0.5, 2: 0.4}, 1: {}}
        study.report(other, [0.7], 3, judged=True, warm=True)
        assert seen[-1] == {0: {1: 0.5, 2: 0.4}, 1: {3: 0.7}}
        _, asked = next_point(study.study, study.config, study.space)
        assert isinstance(asked, OwnSampler), "a sampler learns from no such score either"
        assert asked.view(study.study).get_trials()[0].intermediate_values == {1: 0.5, 2: 0.4}
        study.report(left, [0.3], 3, judged=True, warm=True)
        assert seen[-1] == {0: {1: 0.5, 2: 0.4, 3: 0.3}, 1: {3: 0.7}}
        study.close()


@pytest.mark.parametrize("hidden", [{OUTCOME: "infeasible"}, {RETRIED: True}])
@pytest.mark.parametrize("name", ["hyperband", "successive_halving"])
def test_a_trial_that_is_hidden_stops_no_other(name: str, hidden: dict[str, object]) -> None:
    """Rungs of Optuna's are attributes of trials, whatever became of these."""
    options = {"min_resource": 1, "reduction_factor": 3} | ({"max_resource": 9} if name == "hyperband" else {})
    own = OwnPruner(pruner(StudyConfig(pruner=name, pruner_options=options)), None)
    study = optuna.create_study(study_name=name, direction="maximize")

    def is_stopped(score: float) -> bool:
        trial = study.ask()
        trial.report(score, 1)
        found = own.prune(study, trial._get_latest_trial())
        if score > 0.5:
            for key, value in hidden.items():
                trial.set_user_attr(key, value)
            study.tell(trial, state=TrialState.FAIL)
        return found

    for score in (0.9, 0.5):
        stopped = [is_stopped(score) for _ in range(10)]
        assert not any(stopped)


def test_a_trial_that_trains_again_to_its_pause_blocks_no_promotion() -> None:
    study = optuna.create_study(direction="maximize")
    for score in (0.9, 0.5):
        trial = study.ask()
        trial.report(score, 1)
        trial.set_user_attr(PAUSED_AT, 1)
    own = OwnPruner(BestGoesOn(), None)
    assert own.promote(PausedNow(study, {0, 1}), new=False) == 0
    now = PausedNow(study, {1})  # a kill came before trial 0 had its snapshot
    assert [is_paused(trial) for trial in now.get_trials()] == [False, True]
    assert own.promote(now, new=False) == 1
    assert all(map(is_paused, study.get_trials())), "the study itself is as before"
