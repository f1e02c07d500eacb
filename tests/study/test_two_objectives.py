"""A study of two objectives around a toy engine: a score, and seconds that grow with the batch."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from support.studies import searched
from support.toys import ToyEngine, session
from sweep.config.objective import Objective
from sweep.config.schema import StudyConfig
from sweep.engine.protocol import no_snapshot
from sweep.records.trial import Completed, Outcome, Pruned, TrialPlan, TrialRecord, outcome_value, ranked
from sweep.search.ranks import SECOND
from sweep.study.attributes import recovered_outcome
from sweep.study.search import search

TWO = ("study.metric=[eval/accuracy,cost/seconds]", "study.sampler=random")


@dataclass
class CostlyEngine(ToyEngine):
    """A toy engine whose trials take as many seconds as their number of trial is far from 3."""

    def _train(
        self, trial: TrialPlan, on_step: Any, on_eval: Any, on_snapshot: Any = no_snapshot
    ) -> Generator[None, None, Outcome]:
        def evaluated(plan: TrialPlan, point: Any) -> Any:
            return on_eval(plan, replace(point, measured={"cost/seconds": seconds(plan.number) * point.index / 3}))

        ended: Outcome = yield from super()._train(trial, on_step, evaluated, on_snapshot)
        return replace(ended, cost=replace(ended.cost, seconds=seconds(trial.number)))


def seconds(number: int) -> float:
    return 1.0 + abs(number - 3)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrialRecord]]:
    """Return the folder and the records of a study of eight trials that no pruner stops."""
    folder = tmp_path_factory.mktemp("eight")
    return folder, searched(folder, *TWO, "study.n_trials=8", "study.pruner=none", engine=CostlyEngine(slots=2))


def test_optuna_has_both_values_and_directions_of_each_trial(eight: tuple[Path, list[TrialRecord]]) -> None:
    folder, records = eight
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{folder / 'run' / 'study.db'}")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["eval/accuracy", "cost/seconds"]
    for record, trial in zip(records, study.trials, strict=True):
        assert record.best is not None
        assert trial.values == [record.best.metrics["eval/accuracy"], seconds(record.number)]
        assert len(trial.intermediate_values) == len(trial.user_attrs[SECOND]) == 3


def test_the_winner_may_be_the_cheapest_within_reach(eight: tuple[Path, list[TrialRecord]]) -> None:
    cost = Objective("cost/seconds", maximize=False)
    cheapest = ranked(eight[1], Objective("eval/accuracy", maximize=True, second=cost, within=1.0))[0]
    assert cheapest.number == 3
    first = ranked(eight[1], Objective("eval/accuracy", maximize=True, second=cost))[0]
    assert first is ranked(eight[1], Objective("eval/accuracy", maximize=True))[0]


def test_a_study_of_two_objectives_goes_on_with_the_same_points(tmp_path: Path, eight: Any) -> None:
    options = (*TWO, "study.pruner=none")
    searched(tmp_path, *options, "study.n_trials=3", engine=CostlyEngine())
    records = searched(tmp_path, *options, "study.n_trials=8", engine=CostlyEngine())
    assert [dict(record.params) for record in records] == [dict(record.params) for record in eight[1]]


def test_a_lost_record_is_made_again(tmp_path: Path) -> None:
    (record,) = searched(tmp_path, *TWO, "study.n_trials=1", "study.pruner=none", engine=CostlyEngine())
    (tmp_path / "run" / "trials" / "0000" / "record.json").unlink()
    with session(tmp_path, *TWO, "study.n_trials=1", "study.pruner=none", engine=CostlyEngine()) as opened:
        (again,) = search(opened)
    assert isinstance(again.outcome, Completed) and again.best == record.best
    assert again.outcome.cost.seconds == seconds(0)


def test_a_measured_value_of_a_lost_record_is_that_of_optuna() -> None:
    study = StudyConfig(metric="eval/accuracy", second_metric="predict/latency_ms", second_direction="minimize")
    frozen = optuna.trial.create_trial(values=[0.9, 12.5])
    outcome = recovered_outcome(frozen, (), study)
    assert outcome_value(outcome, study.objectives[1]) == 12.5 and outcome_value(outcome, study.objectives[0]) == 0.9


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc"])
def test_samplers_and_racing_take_two_objectives(sampler: str, tmp_path: Path) -> None:
    options = (
        "study.metric=[eval/accuracy,cost/seconds]",
        f"study.sampler={sampler}",
        "study.n_trials=10",
        "engine.slots=4",
    )
    records = searched(tmp_path, *options, "study.pruner_options={finalists: 1}", engine=CostlyEngine(slots=4))
    stopped = [record for record in records if isinstance(record.outcome, Pruned)]
    kept = [record for record in records if isinstance(record.outcome, Completed)]
    assert stopped and kept and len(records) == 10
    best = max(record.best.metrics["eval/accuracy"] for record in kept if record.best)
    assert all(record.outcome.evals[0].metrics["eval/accuracy"] < best for record in stopped)


def test_a_study_of_one_objective_has_no_second_scores(tmp_path: Path) -> None:
    searched(tmp_path, "study.n_trials=2", "study.sampler=random", engine=CostlyEngine())
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    assert all(SECOND not in trial.user_attrs for trial in study.trials)
