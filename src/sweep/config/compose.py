"""Overrides → one plain mapping, composed by Hydra.

One message names every fault of the overrides.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import get_args

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigIndexError, ConfigTypeError, OmegaConfBaseException

from sweep.config import defaults, interpolations, own_files
from sweep.config.composed import Composed, Tree
from sweep.config.folders import conf_dir
from sweep.config.hints import PACKAGE_LINE, list_hint, mapping_hint
from sweep.config.keys import is_key, section
from sweep.config.names import OptimizerName
from sweep.config.quoting import quoted
from sweep.config.yamlfile import DEEPEST, UNREADABLE
from sweep.errors import Fault, UserError, closest, first_line, shortened

COMMAND_LINE = "the command line"
_LONGEST = 80  # characters of an override that a message shows
_OF_HYDRA = "is a setting of Hydra's own runner, which sweep does not use: Hydra only composes the config here"
# Hydra's message where the defaults list of an experiment overrides a group below the key `experiment`.
_UNPACKAGED = re.compile(r"In '(experiment/[^']+)': Could not override '[^']*@experiment\b")
# Hydra's messages where a defaults list names an option that no file has.
_NOT_THERE = re.compile(r"Could not (?:find|load) '(\w+)/([^'/]+)'")
TRACKER = "tracker"  # the only group of which several options may be taken
_ONE_IN_A_FILE = (
    "is a list in a defaults list, which takes one tracker; write `- override /tracker: NAME` there, and above the "
    "overrides `- /tracker@tracker.also.OTHER: OTHER` for each other one"
)
# Settings of Hydra's own, and what to use instead of each.
_INSTEAD = {
    "hydra.run": "use run_dir=DIR",
    "hydra.job": "use study.study_name=NAME",
    "hydra.searchpath": "use --config-dir DIR",
    "hydra.sweep": "use study.space=FILE",
    "hydra.sweeper": "use study.sampler=NAME and study.space=FILE",
    "hydra.mode": "sweep searches by itself, by study.space=FILE",
    "hydra.launcher": "use engine.slots=N for trials at once",
}


@dataclass(frozen=True)
class Composer:
    """Composes the shipped configs together with those in the user's own folders."""

    config_dirs: tuple[Path, ...] = ()
    _parser: OverridesParser = field(default_factory=OverridesParser.create, repr=False)
    _keys: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict, repr=False, compare=False)
    _remembered: dict[tuple[str, ...], Composed] = field(default_factory=dict, repr=False, compare=False)
    _files: dict[Path, DictConfig | ListConfig] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """Return the folder of the shipped configs, then the user's own."""
        return (conf_dir(), *(folder.resolve() for folder in self.config_dirs))

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the options of each config group."""
        found: dict[str, set[str]] = {}
        for folder in self.folders:
            for file in folder.glob("*/*.yaml"):
                found.setdefault(file.parent.name, set()).add(file.stem)
        return {group: tuple(sorted(options)) for group, options in found.items()}

    @cached_property
    def _hazards(self) -> tuple[Fault, ...]:
        return own_files.hazards(self.config_dirs)

    def file(self, group: str, option: str) -> Path | None:
        """Return the file of a group's option, or None where there is none."""
        return next((path for folder in self.folders if (path := folder / group / f"{option}.yaml").exists()), None)

    def contents(self, group: str, option: str) -> DictConfig | ListConfig | None:
        """Return what the file of a group's option holds, read once; None where there is none."""
        file = self.file(group, option)
        if file is not None and file not in self._files:
            self._files[file] = OmegaConf.load(file)
        return None if file is None else self._files[file]

    def compose(self, overrides: Sequence[str]) -> Composed:
        """Return the config that the overrides describe.

        An override of a value is passed to Hydra as a forced addition: Hydra would refuse the
        first unknown key and stop there, while `parse` names all of them. Raises UserError with
        every fault of the overrides themselves.
        """
        _register_resolvers()
        defaults.register()
        faults = [*own_files.folder_faults(self.config_dirs), *self._hazards]
        accepted = [text for raw in self._one_by_one(overrides) if (text := self._accept(raw, faults)) is not None]
        faults += _two_experiments([raw for raw in overrides if self.key(raw) == "experiment"])
        if faults:
            raise UserError(faults)
        search_path = ",".join(quoted(f"file://{folder}") for folder in self.folders[1:])
        try:
            with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
                tree = compose(
                    "config", overrides=[*accepted, f"hydra.searchpath=[{search_path}]"], return_hydra_config=True
                )
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError([self._composing_fault(error)]) from None
        except UNREADABLE as error:
            said = " ".join(str(error).split())
            file = own_files.blamed(self.config_dirs, said) or "a config file"
            raise UserError.of(file, f"cannot be read as a config: {said}") from None
        except RecursionError:
            file = own_files.endless(self.config_dirs) or "a config file"
            raise UserError.of(file, "has a defaults list that leads back to this file; take one entry out") from None
        choices = {str(group): str(option) for group, option in tree.hydra.runtime.choices.items()}
        if TRACKER not in choices:  # Hydra merges the files of a list, so that the last one wins
            raise UserError.of(TRACKER, _ONE_IN_A_FILE, COMMAND_LINE if self._chosen(overrides) else "a config file")
        if faults := list(self._runner_faults(choices)):
            raise UserError(faults)
        OmegaConf.set_struct(tree, False)
        del tree["hydra"]
        if found := interpolations.hazard(OmegaConf.to_container(tree)):  # type: ignore[arg-type]
            raise UserError.of(*found)
        return Composed(
            Tree(tree), {group: option for group, option in choices.items() if not group.startswith("hydra/")}
        )

    def remembered(self, overrides: Sequence[str]) -> Composed:
        """Return the composed config, from a cache where the same overrides were composed before.

        Composing takes Hydra a tenth of a second. Trials that take the same options of the config
        groups share one composed config.
        """
        key = tuple(overrides)
        if key not in self._remembered:
            self._remembered[key] = self.compose(key)
        return self._remembered[key]

    def _chosen(self, overrides: Sequence[str]) -> bool:
        return any(self.key(raw) == TRACKER for raw in overrides)

    def _one_by_one(self, overrides: Sequence[str]) -> Iterator[str]:
        """Yield the overrides, with one override for each tracker of a list.

        `tracker=[a,b]` becomes `tracker=a` and `+tracker@tracker.also.b=b`, so that each tracker
        has keys of its own.
        """
        for raw in overrides:
            names = self._tracker_names(raw)
            if not names:
                yield raw
            else:
                yield f"{TRACKER}={names[0]}"
                yield from (f"+{TRACKER}@{TRACKER}.also.{name}={name}" for name in names[1:])

    def _tracker_names(self, raw: str) -> list[str]:
        """Return the names in `tracker=[a,b]`; none for any other override."""
        if self.key(raw) != TRACKER:
            return []
        value = self._parser.parse_override(raw).value()
        return [str(name) for name in value] if isinstance(value, list) else []

    def accepted(self, overrides: Sequence[str]) -> list[str]:
        """Return the overrides that have no fault of their own."""
        return [
            raw for raw in overrides if all(self._accept(one, []) is not None for one in self._one_by_one([raw]))
        ]  # fmt: skip

    def key(self, override: str) -> str:
        """Return the config key or group that an override sets, or an empty text for neither."""
        return self._read(override)[0]

    def keys(self, override: str) -> tuple[str, ...]:
        """Return the key or group that an override sets, or each key of a mapping that it gives to
        a section (`trainer={seed: 1}`); none where it sets neither. The entries of a mapping that
        is a value of its own, such as study.limits, follow its key."""
        return self._read(override)[1]

    def override(self, key: str, value: str) -> str:
        """Return the override that sets a key to a value as Hydra reads it. Its key need not be
        read again, which takes Hydra's parser a millisecond."""
        text = f"{key}={value}"
        self._keys[text] = (key, (key,))
        return text

    def _read(self, override: str) -> tuple[str, tuple[str, ...]]:
        """Return `key` and `keys`. Every trial asks for those of the whole command line, more than
        once."""
        if override not in self._keys:
            try:
                found = self._parser.parse_override(override)
                key = str(found.key_or_group)
                self._keys[override] = (key, tuple(_set_by(key, found.value())) if key else ())
            except (HydraException, ValueError, RecursionError):
                self._keys[override] = ("", ())
        return self._keys[override]

    def _runner_faults(self, choices: Mapping[str, str]) -> Iterator[Fault]:
        """Yield a fault for each of the user's configs that sets Hydra's runner, to no effect."""
        for group, option in choices.items():
            file = self.file(group, option)
            if file is not None and file.parent.parent != conf_dir() and "hydra" in (tree := OmegaConf.load(file)):
                assert isinstance(tree, DictConfig)
                yield Fault("hydra", f"{_OF_HYDRA}; use run_dir, study.study_name and study.space", str(file))

    def _accept(self, raw: str, faults: list[Fault]) -> str | None:
        """Return the override as Hydra takes it, or None with the reason added to `faults`."""
        if _depth(raw) > DEEPEST:
            faults.append(
                Fault(shortened(raw.partition("=")[0], _LONGEST), f"is nested more than {DEEPEST} deep", COMMAND_LINE)
            )
            return None
        try:
            override = self._parser.parse_override(raw)
        except HydraException as error:
            typed = self._in_quotes(raw)
            how = f"type {typed}" if typed else "no spaces around =; a text with spaces or braces in double quotes"
            rule = f"cannot be read as key=value ({how}): {first_line(error)}"
            faults.append(Fault(shortened(raw, _LONGEST), rule, COMMAND_LINE))
            return None
        except ValueError:  # Python reads no integer of more than 4,300 digits
            faults.append(Fault(shortened(raw, _LONGEST), "holds a number with too many digits", COMMAND_LINE))
            return None
        if not override.key_or_group:
            faults.append(Fault(shortened(raw, _LONGEST), "has no key before =", COMMAND_LINE))
            return None
        if fault := _without_effect(override, self.groups):
            faults.append(fault)
            return None
        if override.is_sweep_override():
            rule = "holds several values; a search space belongs in a file (study.space=FILE), not on the command line"
            faults.append(Fault(override.key_or_group, rule, COMMAND_LINE))
            return None
        if override.key_or_group in self.groups and not isinstance(override.value(), dict):
            return self._accept_group(raw, override, faults)
        if override.type == OverrideType.CHANGE:
            return f"++{raw}"
        if override.type == OverrideType.ADD and is_key(override.key_or_group):
            return f"+{raw}"  # a key that has a default is there already, which `+` alone refuses
        return raw

    def _composing_fault(self, error: HydraException | OmegaConfBaseException) -> Fault:
        """Return the fault that stopped Hydra, with the user's file that it is in."""
        fault = _composing_fault(error)
        said = " ".join(str(error).split()) or fault.message
        file = own_files.blamed(self.config_dirs, said)
        if (found := _NOT_THERE.search(said)) and found[1] in self.groups:
            group, option = found.groups()
            rule = (
                f"is {option}, but must be one of: {', '.join(self.groups[group])}{closest(option, self.groups[group])}"
            )
            return Fault(group, rule, file or "a defaults list")
        return Fault(file, fault.message) if file and not fault.path else fault

    def _in_quotes(self, raw: str) -> str:
        """Return the override with its value in quotes, as a shell takes it.

        The text is empty where quotes do not help.
        """
        key, _, value = raw.partition("=")
        if not value or value[0] in "[{\"'" or len(raw) > _LONGEST:
            return ""
        whole = f'{key}="{value}"'
        try:
            override = self._parser.parse_override(whole)
        except (HydraException, ValueError):
            return ""
        return shlex.quote(whole) if override.value() == value else ""

    def _accept_group(self, raw: str, override: Override, faults: list[Fault]) -> str | None:
        group, option, options = override.key_or_group, str(override.value()), self.groups[override.key_or_group]
        if group == "experiment" and override.type == OverrideType.CHANGE:
            faults.append(Fault("experiment", f"write +experiment={option}: an experiment is added", COMMAND_LINE))
        elif option not in options and override.type != OverrideType.DEL:
            said = option if isinstance(override.value(), str) else quoted(override.value())
            rule = f"is {said}, but must be one of: {', '.join(options)}"
            hint = own_files.misplaced(self.folders[1:], group, option) or closest(option, options)
            hint = hint or self._elsewhere(group, option)
            faults.append(Fault(group, rule + hint, COMMAND_LINE))
        else:
            # `+adapter=lora` would be a second choice for a group that has one already.
            added = group == "experiment" or override.package is not None
            return raw if added else re.sub(r"^\+{1,2}", "", raw)
        return None

    def _elsewhere(self, group: str, option: str) -> str:
        """Return what to type for an option that is no file of the group, or an empty text."""
        if group == "optimizer" and option in get_args(OptimizerName):
            return f"; type optimizer.name={option}"
        if self.config_dirs:
            return ""
        return f"; for {group}/{option}.yaml in a folder of your own, add --config-dir FOLDER"


def _composing_fault(error: HydraException | OmegaConfBaseException) -> Fault:
    """Return the fault that stopped Hydra.

    Hydra names neither key nor kind where a list or mapping is expected.
    """
    if found := _UNPACKAGED.search(str(error)):
        return Fault(found[1], f"must begin with the line {PACKAGE_LINE}: its values belong at the top of the config")
    cause = error.__cause__
    key, kind = getattr(cause, "full_key", None), getattr(cause, "object_type", None)
    if not isinstance(cause, ConfigTypeError | ConfigIndexError) or not key or kind not in (list, dict):
        return Fault("", first_line(error if str(error).strip() else cause or error), COMMAND_LINE)
    if isinstance(cause, ConfigIndexError):
        name = str(key).partition("[")[0]
        return Fault(str(key), f"is an element of a list, which is given as a whole: {name}=[…]", COMMAND_LINE)
    a_list = f"a list{list_hint(str(key)) or ', such as [first,second]'}"
    shape = a_list if kind is list else f"a mapping{mapping_hint(str(key))}"
    return Fault(str(key), f"must be {shape}", COMMAND_LINE if "override" in str(error) else "")


def _two_experiments(overrides: Sequence[str]) -> Iterator[Fault]:
    """Yield a fault for experiments that are taken at once."""
    if len(overrides) > 1:
        rule = "is given more than once; take one, or write one of your own whose defaults list names the others"
        yield Fault("experiment", rule, COMMAND_LINE)


def _set_by(key: str, value: object) -> Iterator[str]:
    """Yield the keys that are set where a key is given this value."""
    if not isinstance(value, dict) or section(key) is None:
        yield key
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _set_by(f"{key}.{name}", inner)


def _depth(text: str) -> int:
    """Return the depth of nested lists and mappings: Hydra reads them by recursion."""
    levels = accumulate((letter in "[{(") - (letter in "]})") for letter in text)
    return max(levels, default=0)


def _without_effect(override: Override, groups: Mapping[str, tuple[str, ...]]) -> Fault | None:
    """Return the fault of an override that Hydra accepts and that does something else, or None.

    Entries of mappings such as study.sampler_options can be deleted. Any other value that is
    deleted would be replaced by the schema's default.
    """
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] == "hydra":
        return Fault(key, f"{_OF_HYDRA}; {_INSTEAD.get(_start(key), 'leave it out')}", COMMAND_LINE)
    if override.type != OverrideType.DEL:
        return None
    if key == "experiment":
        return Fault("~experiment", "takes away what +experiment=NAME adds; leave both out", COMMAND_LINE)
    if key in groups:
        rule = f"takes a config group away, and sweep's defaults would take its place; write {key}=NAME"
        return Fault(f"~{key}", f"{rule}, one of: {', '.join(groups[key])}", COMMAND_LINE)
    if is_key(key) or section(key) is not None:
        rule = f"takes a value away, and sweep's default would take its place; write {key}=VALUE"
        return Fault(f"~{key}", f"{rule} (null where it may be empty)", COMMAND_LINE)
    return None


def _start(key: str) -> str:
    """Return the first two names of one of Hydra's keys, or the name of its group."""
    return ".".join(re.split(r"[./]", key)[:2])


def _register_resolvers() -> None:
    OmegaConf.register_new_resolver("conf_dir", lambda: str(conf_dir()), replace=True)
