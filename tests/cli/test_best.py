from __future__ import annotations

import json
import math
import shlex
from dataclasses import replace

import pytest

from report.conftest import build, config, emotions, final, six_trials
from support.plans import QUICK
from sweep.cli.best import main
from sweep.plan.plan import make_plan
from sweep.records.calibration import Calibration, Reliability


@pytest.fixture
def run_dir(tmp_path):
    trials = six_trials()
    return build(tmp_path / "run", trials, ending=final(trials[1])).root


def test_the_winner_is_printed(run_dir, capsys):
    main([str(run_dir)])
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f"Winner    trial 1 of {run_dir}", "          optimizer.learning_rate=0.0015"]
    assert (
        "          test/accuracy            0.8400" in said and said[-1] == f"Model     {run_dir / 'final' / 'model'}"
    )


def test_json_is_for_scripts(run_dir, capsys):
    main([str(run_dir), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["params"] == {"optimizer.learning_rate": 0.0015, "trainer.per_device_train_batch_size": 16}
    assert (found["scores"]["eval/accuracy"], found["scores"]["test/accuracy"]) == (0.8833, 0.84)
    assert (found["trial"], found["model"], found["refit"]) == (1, str(run_dir / "final" / "model"), False)


def test_scores_of_tuned_thresholds_are_those_of_the_winner(tmp_path, capsys):
    settings, ending = emotions()
    main([str(build(tmp_path / "run", six_trials(), settings=settings, ending=ending).root), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["thresholds"], found["scores"]["eval/f1_macro"]) == ([0.31, 0.5, 0.72], 0.6)


def test_the_temperature_of_a_calibrated_winner_is_told(tmp_path, capsys):
    trials, agreed = six_trials(), Reliability(0.5, 0.02, ())
    ending = replace(final(trials[1]), calibration=Calibration(1.5, 120, 5, agreed, agreed))
    main([str(build(tmp_path / "run", trials, ending=ending).root), "--json"])
    assert json.loads(capsys.readouterr().out)["temperature"] == 1.5


def test_overrides_are_typed_behind_the_program(tmp_path, capsys):
    typed = [QUICK, "tracker=none", f"run_dir={tmp_path}/study", "study.confirm_seeds=3"]
    params = {
        "optimizer.learning_rate": 1.5e-3,
        "trainer.per_device_train_batch_size": 16,
        "trainer.num_train_epochs": 5,
    }
    trial = make_plan(typed).trial(1, params)
    ending = replace(final(six_trials()[1]), command=trial.command)
    store = build(tmp_path / "run", six_trials(), ending=ending)
    main([str(store.root), "--overrides"])
    again = make_plan(shlex.split(capsys.readouterr().out)).config
    assert (again.optimizer, again.trainer, again.adapter) == (
        trial.config.optimizer, trial.config.trainer, trial.config.adapter,
    )  # fmt: skip
    assert (again.study.n_trials, again.study.space, again.run_dir) == (1, None, "runs/quickstart-trial-1")


def test_a_score_that_is_no_number_is_null(tmp_path, capsys):
    trials = six_trials()
    ending = final(trials[1])
    store = build(tmp_path / "run", trials, ending=replace(ending, test={**ending.test, "test/mcc": math.nan}))
    main([str(store.root), "--json"])
    assert json.loads(capsys.readouterr().out)["scores"]["test/mcc"] is None


def test_a_second_objective_has_the_value_of_the_trial(tmp_path, capsys):
    trials = six_trials()
    settings = config(second_metric="cost/seconds")
    root = build(tmp_path / "run", trials, settings=settings, ending=final(trials[1])).root
    main([str(root)])
    assert "          cost/seconds             24.0000 (of the trial)" in capsys.readouterr().out.splitlines()
    main([str(root), "--json"])
    assert json.loads(capsys.readouterr().out)["second_objective"] == {"metric": "cost/seconds", "value": 24.0}
