"""The limits of a study in its report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.records.cost import Cost
from sweep.records.store import Store
from sweep.records.trial import Failed, FailureReason, TrialRecord

from .conftest import BATCH, LR, completed, config, cost, evals, part, rows, section, six_trials, trial, words

LIMITS = {"parameters.trained": 5e5, "predict.latency_ms": 5.0}
SETTINGS = config(limits=LIMITS)


def beyond(number: int, *, trained: bool = True, **excess: float) -> TrialRecord:
    named = {name.replace("__", "."): value for name, value in excess.items()}
    points = evals([0.97], [0.1]) if trained else ()
    spent = replace(cost(9.0, 60), engine="packed") if trained else Cost()
    failed = Failed(FailureReason.INFEASIBLE, "too slow | too large", points, spent, excess=named)
    measured = {name: LIMITS[name] * (1 + over) for name, over in named.items()}
    return replace(trial(number, {LR: 2e-3, BATCH: 16}, failed), measured={"parameters.trained": 1e5, **measured})


def kept(number: int) -> TrialRecord:
    found = completed(number, [0.5, 0.6], [1.1, 1.0], {LR: 1e-3, BATCH: 8})
    return replace(found, measured={"parameters.trained": 1e5, "predict.latency_ms": 4.25})


def test_a_study_without_limits_has_no_such_section(make: Callable[..., Store]) -> None:
    found = read(make(six_trials()))
    assert analyse(found).limits is None and part("limits", found) == ""


def test_each_trial_has_its_values_and_the_limits_that_it_broke(make: Callable[..., Store]) -> None:
    trials = (kept(0), beyond(1, predict__latency_ms=0.5), beyond(2, trained=False, parameters__trained=3.0))
    text = section(words(make(trials, settings=SETTINGS)), "Limits")
    assert rows(text)[0] == ["trial", "ended", "parameters.trained", "predict.latency_ms", "beyond"]
    assert rows(text)[2:] == [
        ["limit", "", "500,000", "5", ""],
        ["0", "completed", "100,000", "4.25", "–"],
        ["1", "infeasible", "100,000", "7.5", "`predict.latency_ms` by 50.0 %"],
        ["2", "infeasible", "2,000,000", "–", "`parameters.trained` by 300.0 %"],
    ]
    assert "2 trials of 3 are infeasible" in text and "came closest" not in text
    assert "`parameters.trained` was broken by 1 trial." in text


def test_an_infeasible_trial_is_not_the_best_though_it_scored_highest(make: Callable[..., Store]) -> None:
    made = make((kept(0), beyond(1, predict__latency_ms=0.5)), settings=SETTINGS)
    study = analyse(read(made))
    assert study.winner is not None and study.winner.number == 0
    assert study.progress.reasons == {"infeasible": 1}
    assert "Infeasible: beyond a limit of the study" in section(words(made), "The trials")


def test_without_a_feasible_trial_the_closest_is_named(make: Callable[..., Store]) -> None:
    trials = (beyond(0, predict__latency_ms=0.5), beyond(1, predict__latency_ms=0.02, parameters__trained=0.01))
    found = read(make(trials, settings=SETTINGS))
    text = part("limits", found)
    assert "**No trial has kept all limits.** Trial 1 came closest: `parameters.trained` by 1.00 %, " in text
    limits = analyse(found).limits
    assert limits is not None and limits.closest is not None and limits.closest.number == 1


def test_memory_of_packed_trials_says_what_it_is(make: Callable[..., Store]) -> None:
    settings = config(limits={"cost.peak_host_bytes": 1e9})
    one = replace(beyond(0, predict__latency_ms=0.5), measured={"cost.peak_host_bytes": 2e9})
    assert "without the other trials' weights" in part("limits", read(make((one,), settings=settings)))


def test_a_predicted_peak_is_shown_as_such(make: Callable[..., Store]) -> None:
    settings = config(limits={"cost.peak_device_bytes": 1e9})
    refused = Failed(FailureReason.INFEASIBLE, "predicted", (), Cost(), excess={"cost.peak_device_bytes": 0.5})
    text = section(words(make((trial(0, {LR: 2e-3, BATCH: 16}, refused),), settings=settings)), "Limits")
    assert rows(text)[3] == ["0", "infeasible", "≈ 1,500,000,000", "`cost.peak_device_bytes` by 50.0 %"]
    assert "1 trial of 1 is infeasible" in text and "was predicted before the training" in text
