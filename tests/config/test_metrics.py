from __future__ import annotations

import pytest

from sweep.config.extra_metrics import label_of, lower_is_better, short
from sweep.config.metrics import evaluated, known_direction, means_alone, objectives, recorded_metrics, short_name
from sweep.config.schema import Config, DatasetConfig, StudyConfig


def config(*, metrics: tuple[str, ...] = (), **study: str) -> Config:
    return Config(dataset=DatasetConfig(metrics=metrics), study=StudyConfig(**study))  # type: ignore[arg-type]


def test_an_evaluation_records_an_extra_metric_where_it_is_listed_or_searched_for() -> None:
    assert recorded_metrics(config()) == ()
    assert recorded_metrics(config(metric="eval/f1_macro")) == ()
    assert recorded_metrics(config(metric="eval/mcc")) == ("mcc",)
    assert recorded_metrics(config(metrics=("ece",), metric="eval/ece")) == ("ece",)
    found = config(metrics=("mine.worst",), metric="eval/f1/a b/c", second_metric="eval/brier")
    assert recorded_metrics(found) == ("mine.worst", "f1/a b/c", "brier")
    assert evaluated(found)[-3:] == ("eval/worst", "eval/f1/a b/c", "eval/brier")


def test_a_metric_of_the_users_own_takes_the_place_of_one_of_the_same_name() -> None:
    found = config(metrics=("mine.brier",), metric="eval/brier")
    assert recorded_metrics(found) == ("mine.brier",)
    assert known_direction(found.dataset, "eval/brier") is None
    assert objectives(found.dataset).count("eval/brier") == 1


@pytest.mark.parametrize(
    ("name", "lower"),
    [("eval/loss", True), ("eval/log_loss", True), ("eval/brier", True), ("test/ece", True), ("eval/mcc", False),
     ("eval/auroc_macro", False), ("eval/f1/loss", False), ("eval/f1/a/loss", False)],
)  # fmt: skip
def test_the_direction_of_each_metric_is_known(name: str, lower: bool) -> None:
    assert lower_is_better(name) is lower
    assert known_direction(DatasetConfig(), name) == ("minimize" if lower else "maximize")


def test_a_label_may_hold_dots_and_slashes() -> None:
    assert short("eval/f1/a/b") == "f1/a/b" and label_of("f1/a/b") == "a/b"
    assert short_name("f1/version 1.0") == "f1/version 1.0" and short_name("mine.f1") == "f1"
    assert label_of("f1_macro") is None


def test_a_metric_of_the_users_own_may_be_called_fold_or_sd() -> None:
    own = {"eval/sd": 0.1, "eval/fold": 0.2, "eval/f1/sd": 0.3}
    assert means_alone({**own, "eval/sd/accuracy": 0.4, "eval/fold/2/accuracy": 0.5}) == own
