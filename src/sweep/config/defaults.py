"""The defaults of the schema as nodes of Hydra's config store.

`- schema` in the defaults list of a YAML file in `conf/` stands for them, so that no file repeats
a default. A node is named by the group of the file: `trainer/schema` holds the defaults of
`TrainerConfig`.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore

from sweep.config.launcher import LauncherConfig
from sweep.config.schema import (
    Config,
    EngineConfig,
    OptimizerConfig,
    Section,
    StudyConfig,
    TrackerConfig,
    TrainerConfig,
)

NODE = "schema"
_GROUPS: dict[str, type[Section]] = {
    "optimizer": OptimizerConfig,
    "trainer": TrainerConfig,
    "engine": EngineConfig,
    "launcher": LauncherConfig,
    "study": StudyConfig,
    "tracker": TrackerConfig,
}
# Keys of one tracker among several; a file that needs them names them.
_LEFT_OUT = {"tracker": ("target", "also")}


def nodes() -> dict[str, dict[str, Any]]:
    """Return the defaults by config group; those of the top level, without its sections, by an
    empty name."""
    top = {name: default for name, default in _defaults(Config).items() if not isinstance(default, Section)}
    top.pop("prompt")  # chosen by a group
    groups = {
        group: {name: _plain(default) for name, default in _defaults(section).items()}
        for group, section in _GROUPS.items()
    }
    for group, names in _LEFT_OUT.items():
        groups[group] = {name: value for name, value in groups[group].items() if name not in names}
    return {"": top, **groups}


def register() -> None:
    """Put the defaults into Hydra's config store, from which composing takes them."""
    store = ConfigStore.instance()
    for group, node in nodes().items():
        store.store(name=NODE, node=node, group=group or None)


def _defaults(section: type[Section]) -> dict[str, Any]:
    found = {name: field.get_default(call_default_factory=True) for name, field in section.model_fields.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _plain(default: Any) -> Any:
    """Return the default of a key; for a section within a group, those of its keys."""
    return _defaults(type(default)) if isinstance(default, Section) else default
