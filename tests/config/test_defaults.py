"""Each default stands in one place: the schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from sweep.config.compose import Composer
from sweep.config.defaults import nodes
from sweep.config.folders import conf_dir
from sweep.config.schema import TrackerConfig
from sweep.track.plugin import load

GROUPS = ("optimizer", "trainer", "engine", "launcher", "study", "tracker")
FILES = sorted(path for group in GROUPS for path in (conf_dir() / group).glob("*.yaml"))
CHOICE = "name"  # what the file is for


def read(path: Path) -> dict[str, Any]:
    found = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def inherited(path: Path) -> dict[str, Any]:
    """The values that a file of a group would have without its own keys."""
    values: dict[str, Any] = {}
    for name in read(path).get("defaults", ()):
        if name == "schema":
            values |= nodes()[path.parent.name]
        elif name != "_self_":
            values |= inherited(path.with_name(f"{name}.yaml")) | read(path.with_name(f"{name}.yaml"))
    return values


def repeated(own: Mapping[str, Any], below: Mapping[str, Any]) -> list[str]:
    return [
        key for key, value in own.items() if key not in (CHOICE, "defaults") and key in below and below[key] == value
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_file_repeats_a_default(path: Path) -> None:
    own, below = read(path), inherited(path)
    if "target" in own:  # the class has the defaults
        tracker = TrackerConfig.model_validate(own)
        below = nodes()["tracker"] | {
            name: field.get_default(call_default_factory=True)
            for name, field in load(tracker).Settings.model_fields.items()
        }
    else:
        assert below, "a file without the schema's node lacks the other keys"
    assert repeated(own, below) == []


def test_the_top_level_repeats_no_default() -> None:
    assert repeated(read(conf_dir() / "config.yaml"), nodes()[""]) == []


def test_a_repeated_default_is_found() -> None:
    assert repeated({"name": "adamw_torch", "weight_decay": 0.0, "warmup_steps": 3}, nodes()["optimizer"]) == [
        "weight_decay"
    ]


def test_the_composed_config_has_every_key_of_these_groups() -> None:
    composed = Composer().compose(["+experiment=quickstart"]).resolved()
    for group in GROUPS:
        assert nodes()[group].keys() <= composed[group].keys()
    assert (
        composed["trainer"]["per_device_train_batch_size"] == 8
        and composed["title"] == "Help-desk intents, MiniLM, LoRA"
    )


def test_a_key_that_the_schema_has_may_be_given_with_a_plus() -> None:
    """The plus is allowed, although the schema already holds the key."""
    tree = Composer().compose(["+experiment=quickstart", "+trainer.decision_threshold=tuned"]).resolved()
    assert tree["trainer"]["decision_threshold"] == "tuned"
