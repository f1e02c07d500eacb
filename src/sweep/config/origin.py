"""The place where the user set a value: the command line, or one of the config files taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from sweep.config.compose import COMMAND_LINE, Composer
from sweep.config.folders import conf_dir
from sweep.config.keys import is_key, section

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
        return self._of(path) or self._of(_value_key(path))

    def _of(self, path: str) -> str:
        for key in (key for override in self.overrides for key in self.composer.keys(override)):
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
        return _holds(self.composer.contents(group, option), path.split("."))


def _holds(tree: Any, names: Sequence[str]) -> bool:
    """Return whether a tree has a value at a path. A key of a file may hold dots itself."""
    if not names:
        return True
    if not isinstance(tree, DictConfig):
        return False
    keys = ((count, ".".join(names[:count])) for count in range(1, len(names) + 1))
    return any(key in tree and _holds(tree._get_node(key), names[count:]) for count, key in keys)


def _value_key(path: str) -> str:
    """Return the key whose value holds a path, such as `study.limits` of `study.limits.eval.loss`;
    the path itself where no key does."""
    names = path.split(".")
    keys = (".".join(names[:count]) for count in range(len(names), 0, -1))
    return next((key for key in keys if is_key(key) and section(key) is None), path)
