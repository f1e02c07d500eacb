from __future__ import annotations

import json
from dataclasses import replace

import pytest

from report.conftest import completed, config, final, six_trials, trial
from sweep.analysis.facts import read
from sweep.analysis.plain import plain
from sweep.analysis.study import analyse
from sweep.config.schema import DatasetConfig, TrackerConfig
from sweep.records.cost import Cost
from sweep.records.trial import Failed, FailureReason


def test_a_finished_study_lacks_nothing_but_its_trials(store):
    study = analyse(read(store))
    assert study.winner is not None and study.winner.number == 1
    assert (study.progress.counted, study.progress.left, study.progress.stopped) == (5, 1, 1)
    assert study.progress.reasons == {"diverged": 1, "out_of_memory": 1}
    assert study.missing == ()
    assert study.scores is not None and study.scores.sought_score == 0.84
    assert study.generalisation is not None and study.generalisation.rows_per_second == 50.0


def test_a_study_without_a_trial_has_no_winner_and_no_cost(make):
    study = analyse(read(make()))
    assert (study.winner, study.cost, study.scores, study.generalisation) == (None, None, None, None)
    assert study.missing == ("retraining",)
    assert study.progress.left == 6


def test_a_trial_that_is_infeasible_before_it_trains_is_no_training(make):
    refused = trial(1, {}, Failed(FailureReason.INFEASIBLE, "beyond a limit", (), Cost()))
    assert analyse(read(make([refused]))).cost is None
    cost = analyse(read(make([completed(0, [0.5], [1.0], {}), refused]))).cost
    assert cost is not None and (cost.runs, cost.counted) == (1, 1)


def test_no_time_went_by_on_a_clock_that_was_set_back(make):
    one, two = (completed(number, [0.5], [1.0], {}) for number in range(2))
    backwards = replace(two, started=one.finished, finished="2020-01-01T00:00:00.000+00:00")
    found = [analyse(read(make([one, other]))).cost for other in (two, backwards)]
    assert [cost is not None and cost.elapsed is not None for cost in found] == [True, False]


def test_a_trial_without_an_event_is_put_away(make):
    store = make(six_trials())
    (store.root / "trials" / "0006").mkdir()
    assert analyse(read(store)).progress.put_away == (6,)


def test_a_wanted_refit_is_missing_with_the_retraining_and_alone(make):
    assert analyse(read(make(six_trials(), settings=config(refit=True)))).missing == ("retraining", "refit")
    ended = make(six_trials(), settings=config(refit=True), ending=final(six_trials()[1]))
    assert analyse(read(ended)).missing == ("refit",)


def test_the_best_trial_beside_the_second_best(make):
    lead = analyse(read(make(six_trials()))).trials.lead
    assert lead is not None and lead.standard_error is not None
    assert (round(lead.gap, 4), lead.second, lead.rows, lead.within) == (0.2708, 0.6125, 120, False)


def test_a_tie_is_broken_by_the_loss_then_the_parameters_then_the_place(make):
    first, second = (completed(n, [0.5], [1.0], {}) for n in range(2))
    tie = analyse(read(make([first, second]))).trials.tie
    assert tie is not None and (tie.trials, tie.winner, tie.by) == ((0, 1), 0, "place")


def test_another_trial_that_is_better_now_is_named(make):
    trials = [*six_trials(), completed(6, [0.99], [0.1], {})]
    other = analyse(read(make(trials, ending=final(trials[1])))).overtaken
    assert other is not None and (other.number, other.score, other.same) == (6, 0.99, False)


def test_every_key_is_there_whatever_the_records_hold(store, make):
    whole, empty = (plain(analyse(read(one))) for one in (store, make()))
    assert list(whole) == list(empty)
    assert whole["schema_version"] == 1


def test_plain_values_are_json_without_nan(store):
    found = json.loads(json.dumps(plain(analyse(read(store))), allow_nan=False))
    diverged = found["trials"]["rows"][3]
    assert (diverged["number"], diverged["state"]) == (3, "diverged")
    assert diverged["evaluations"]["rows"][1]["metrics"]["eval/loss"] is None


def test_plain_texts_hold_no_secret(make):
    store = make(six_trials()[:1])
    lock = store.lock()
    store.write_lock(replace(lock, command="python -m sweep study.storage=postgresql://me:hunter2secret@host/db"))
    found = plain(analyse(read(store)))
    assert "hunter2secret" not in json.dumps(found)
    assert found["repeating"]["command"].endswith("://me:***@host/db")


@pytest.mark.parametrize(
    ("tracker", "recorded", "shown"),
    [
        (TrackerConfig(name="mock"), "http://127.0.0.1:1/runs/a", ""),
        (TrackerConfig(name="wandb"), "https://wandb.ai/runs/a", "https://wandb.ai/runs/a"),
        (
            TrackerConfig(name="mock", also={"tensorboard": {"name": "tensorboard"}}),
            "W&B: http://127.0.0.1:1/runs/a; tensorboard: made/tensorboard/0001",
            "tensorboard: made/tensorboard/0001",
        ),
        (
            TrackerConfig(name="tensorboard", also={"mock": {"name": "mock"}}),
            "tensorboard: made/tensorboard/0001; W&B: http://127.0.0.1:1/runs/a",
            "tensorboard: made/tensorboard/0001",
        ),
    ],
)
def test_addresses_of_the_mock_server_alone_are_left_out(make, tracker, recorded, shown):
    trial = replace(six_trials()[1], tracker_run=recorded)
    settings = config().model_copy(update={"tracker": tracker})
    study = analyse(read(make([trial], settings=settings, ending=replace(final(trial), tracker_run=recorded))))
    assert study.trials.rows[0].tracker_run == shown
    assert study.winner is not None and study.winner.retraining is not None
    assert study.winner.retraining.tracker_run == shown


def test_trial_and_retraining_are_compared_in_a_metric_of_the_users_own(make):
    trial = six_trials()[1]
    made = final(trial)
    evals = [
        tuple(replace(point, metrics=point.metrics | {"eval/errors": value}) for point in made.trial_evals)
        for value in (0.2, 0.9)
    ]
    dataset = DatasetConfig(path="data/toy", metrics=("mine.errors",))
    settings = config().model_copy(update={"dataset": dataset})
    ending = replace(made, trial_evals=evals[0], retrain_evals=evals[1])
    study = analyse(read(make([trial], settings=settings, ending=ending)))
    assert study.winner is not None and study.winner.retraining is not None
    found = study.winner.retraining.agreement
    assert found is not None and found.metric == "eval/errors" and abs(found.largest - 0.7) < 1e-9
