"""The values of a config that an engine is given."""

from __future__ import annotations

from dataclasses import fields

from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.records.trial import TrialPlan


def test_the_settings_are_those_of_the_config() -> None:
    config = Config.model_validate({
        "model": {"path": "somewhere"},
        "adapter": {"method": "ia3"},
        "prompt": {"template": "{text}"},
        "dataset": {"task": "multi_label", "text_pair_column": "other", "max_length": 12},
        "optimizer": {"learning_rate": 0.5},
        "trainer": {"seed": 3},
        "study": {"metric": "eval/loss", "direction": "minimize"},
    })  # fmt: skip
    settings = TrialPlan(0, {}, config, total_steps=1, command="").settings
    assert settings == TrainSettings.of(config)
    for section in ("model", "adapter", "prompt", "optimizer", "trainer"):
        assert getattr(settings, section) == getattr(config, section)
    assert (settings.task, settings.paired, settings.max_length) == ("multi_label", True, 12)
    assert settings.objective.metric == "eval/loss" and not settings.objective.maximize


def test_a_study_leaves_no_trace_in_the_settings() -> None:
    """Trials of two studies that differ in name, tracker or data files train alike."""
    one = Config.model_validate({"study": {"study_name": "one"}, "dataset": {"path": "a"}, "tracker": {"name": "none"}})
    assert TrainSettings.of(one) == TrainSettings.of(Config())
    assert {field.name for field in fields(TrainSettings)}.isdisjoint(
        {"study", "tracker", "dataset", "engine", "run_dir"}
    )
