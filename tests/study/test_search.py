"""The loop between Optuna and an engine: records, scores, limits, and values that do not fit
together."""

from __future__ import annotations

from pathlib import Path

import optuna

from support.studies import PLAIN, points, searched
from support.toys import ToyEngine, session
from sweep.records.trial import Completed
from sweep.study.search import search


def test_every_trial_has_a_record_and_is_scored_by_its_best_evaluation(tmp_path: Path) -> None:
    records = searched(tmp_path, "study.n_trials=4", *PLAIN)
    assert [record.number for record in records] == [0, 1, 2, 3]
    study = optuna.load_study(study_name="quickstart", storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    for record, trial in zip(records, study.trials, strict=True):
        assert isinstance(record.outcome, Completed)
        assert record.outcome.best.index == 2
        assert trial.value == record.outcome.best.metrics["eval/accuracy"]
        assert trial.user_attrs == {
            "outcome": "completed", "best_epoch": 2.0, "place": record.number, "seconds": 1.0, **record.outcome.best.metrics
        }  # fmt: skip
    assert study.metric_names == ["eval/accuracy"]
    assert study.user_attrs["run_directory"] == str(tmp_path / "run")


def test_the_same_command_goes_on_to_the_total(tmp_path: Path) -> None:
    whole = searched(tmp_path / "a", "study.n_trials=6", *PLAIN)
    searched(tmp_path / "b", "study.n_trials=2", *PLAIN)
    engine = ToyEngine()
    resumed = searched(tmp_path / "b", "study.n_trials=6", *PLAIN, engine=engine)
    assert [trial.number for trial in engine.trained] == [2, 3, 4, 5]
    assert points(resumed) == points(whole)
    engine = ToyEngine()
    assert searched(tmp_path / "b", "study.n_trials=6", *PLAIN, engine=engine) == resumed
    assert engine.trained == []


def test_known_points_come_first(tmp_path: Path) -> None:
    first, second = searched(tmp_path, "study.enqueue=[{optimizer.learning_rate: 2e-3}]", "study.n_trials=2", *PLAIN)
    assert first.params["optimizer.learning_rate"] == 2e-3
    assert second.params["optimizer.learning_rate"] != 2e-3


def test_conditional_keys_are_asked_for_only_then(tmp_path: Path) -> None:
    records = searched(tmp_path, "study.space=adapters", "study.n_trials=12", "study.sampler=random", *PLAIN)
    assert {record.params["adapter"] for record in records} == {"lora", "ia3", "head"}
    for record in records:
        assert ("adapter.r" in record.params) == (record.params["adapter"] == "lora")
        assert f"adapter={record.params['adapter']}" in record.command


def test_rows_are_on_disk_while_the_trial_runs(tmp_path: Path) -> None:
    seen: list[int] = []
    with session(
        tmp_path, "study.n_trials=1", *PLAIN, engine=ToyEngine(lambda trial, epoch: seen.append(len(store.events(0))))
    ) as opened:
        store = opened.store
        search(opened)
    assert seen == [0, 2, 4]


def test_a_trial_beyond_its_time_is_failed_and_counts(tmp_path: Path) -> None:
    records = searched(tmp_path, "study.trial_timeout=1e-9", "study.n_trials=2", *PLAIN)
    assert [record.state for record in records] == ["timed_out", "timed_out"]


def test_after_the_timeout_no_trial_starts(tmp_path: Path) -> None:
    assert searched(tmp_path, "study.timeout=1e-9", *PLAIN) == []


def test_values_that_break_a_rule_together_are_infeasible(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "optimizer.lr_scheduler_type: {choices: [linear, constant]}\noptimizer.warmup_steps: {choices: [0, 5]}\n"
    )
    records = searched(tmp_path, f"study.space={space}", "study.sampler=random", "study.n_trials=12", *PLAIN)
    assert {record.state for record in records} == {"completed", "infeasible"}
    assert len(records) == 12
    for record in records:
        broken = record.params == {"optimizer.lr_scheduler_type": "constant", "optimizer.warmup_steps": 5}
        assert (record.state == "infeasible") == broken
