"""The place where the user set a value: the command line, or one of the config files taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from sweep.config.compose import COMMAND_LINE, Composer
from sweep.config.folders import conf_dir

_SHIPPED = "conf/"  # the beginning of the names of shipped configs


@dataclass(frozen=True, slots=True)
class Origins:
    """Looks up where each value of one composed config was set.

    `choices` are the options of its config groups.
    """

    composer: Composer
    overrides: Sequence[str]
    choices: Mapping[str, str]

    def chosen(self, path: str) -> bool:
        """Return whether the user set the value: in a command or in a config of their own."""
        origin = self(path)
        return origin != "" and not origin.startswith(_SHIPPED)

    def __call__(self, path: str) -> str:
        """Return the place where a value was set; an empty text for a value that nobody set.

        `path` may go deeper than the key that was set, as an element of a list does.
        """
        path = path.split("[")[0]
        for override in self.overrides:
            key = self.composer.key(override)
            if key == path or path.startswith(f"{key}.") and key not in self.composer.groups:
                return COMMAND_LINE
        experiment_first = sorted(self.choices.items(), key=lambda choice: choice[0] != "experiment")
        for choice, option in experiment_first:
            group, _, package = choice.partition("@")
            inner = path if group == "experiment" else path.removeprefix(f"{package or group}.")
            if (group == "experiment" or inner != path) and self._sets(group, option, inner):
                file = self.composer.file(group, option)
                shipped = file is None or file.is_relative_to(conf_dir())
                return f"{_SHIPPED}{group}/{option}.yaml" if shipped else str(file)
        return ""

    def _sets(self, group: str, option: str, path: str) -> bool:
        tree: Any = self.composer.contents(group, option)
        for name in path.split("."):
            if not isinstance(tree, DictConfig) or name not in tree:
                return False
            tree = tree._get_node(name)
        return True
