"""The search space: one file in `sweeps/`, with a range for each `dotted.config.key`.

optimizer.learning_rate: {low: 1.0e-5, high: 5.0e-4, log: true}
trainer.num_train_epochs: {low: 3, high: 6}             # whole numbers, because both ends are
trainer.per_device_train_batch_size: {choices: [8, 16]}
adapter: {choices: [lora, ia3]}                         # a config group
adapter.r: {choices: [4, 8, 16], when: {adapter: lora}} # searched only under this condition
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from math import isfinite
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.config.adapter import may_be_of_own_method
from sweep.config.domains import Choices, Number, Range
from sweep.config.folders import expanded, sweeps_dir
from sweep.config.hints import meant
from sweep.config.keys import is_key, keys, section
from sweep.config.own_files import misplaced
from sweep.config.schema import Scalar
from sweep.config.yamlfile import UNREADABLE, hazard
from sweep.errors import Fault, UserError, closest, shortened

_RANGE_FIELDS = ("low", "high", "log", "step", "choices", "when")
MOST_CHOICES = 1_000  # of one key: each is composed and checked before the study starts
# Mappings whose entries can be searched.
ENTRIES = ("optimizer.optim_args", "optimizer.lr_scheduler_kwargs", "adapter.options", "adapter.rank_pattern")
_EXACT = 2**53  # whole numbers up to here are exact as floating-point numbers, in which samplers draw


@dataclass(frozen=True, slots=True)
class Parameter:
    """A searched key. `when` maps earlier keys to the values under which this one is searched."""

    key: str
    domain: Range | Choices
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def active(self, chosen: Mapping[str, Scalar]) -> bool:
        """Return whether the key is searched beside the values in `chosen`."""
        return all(key in chosen and chosen[key] in values for key, values in self.when.items())


@dataclass(frozen=True, slots=True)
class Space:
    """The searched keys in the order of their file. `source` is the file's name."""

    parameters: tuple[Parameter, ...] = ()
    source: str = ""

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, key: str) -> Parameter:
        return next(parameter for parameter in self.parameters if parameter.key == key)

    def __contains__(self, key: object) -> bool:
        return any(parameter.key == key for parameter in self.parameters)

    def choices(self, key: str | None) -> tuple[Scalar, ...]:
        """Return the choices of a key; none where it is None, is not searched or has a range."""
        domain = self[key].domain if key is not None and key in self else None
        return domain.values if isinstance(domain, Choices) else ()

    def corners(self) -> Iterator[dict[str, Scalar]]:
        """Yield each end of each key once, with no other values than its conditions need."""
        for parameter in self.parameters:
            needed = self._conditions(parameter)
            for value in parameter.domain.ends():
                yield {**needed, parameter.key: value}

    def pairs(self) -> Iterator[dict[str, Scalar]]:
        """Yield each end of a key with each end of another, where one of the two has choices.

        Only keys that can be searched together make a pair. Values that are right one by one may
        break a rule together.
        """
        for first, second in combinations(self.parameters, 2):
            if isinstance(first.domain, Choices) or isinstance(second.domain, Choices):
                needed = {**self._conditions(first), **self._conditions(second)}
                for one, other in product(first.domain.ends(), second.domain.ends()):
                    point = {**needed, first.key: one, second.key: other}
                    if all(self[key].active(point) for key in point):
                        yield point

    def grid_size(self) -> int | None:
        """Return the size of the full grid, without conditions; None where a range has no step."""
        size = 1
        for parameter in self.parameters:
            count = parameter.domain.count()
            if count is None:
                return None
            size *= count
        return size

    def without(self, fixed: Mapping[str, Scalar]) -> Space:
        """Return the space without the keys in `fixed`.

        A key that depends on a fixed one is searched only where the fixed value meets its
        condition.
        """
        left: list[Parameter] = []
        for parameter in self.parameters:
            met = all(fixed[key] in values for key, values in parameter.when.items() if key in fixed)
            when = {key: values for key, values in parameter.when.items() if key not in fixed}
            if parameter.key not in fixed and met and all(any(key == other.key for other in left) for key in when):
                left.append(Parameter(parameter.key, parameter.domain, when))
        return Space(tuple(left), self.source)

    def plain(self) -> dict[str, Any]:
        """Return the space as its file has it, for records."""
        return {parameter.key: _plain(parameter) for parameter in self.parameters}

    def _conditions(self, parameter: Parameter) -> dict[str, Scalar]:
        needed: dict[str, Scalar] = {}
        for key, values in parameter.when.items():
            needed |= {**self._conditions(self[key]), key: values[0]}
        return needed


def find(name: str, config_dirs: Sequence[Path]) -> Path:
    """Return the file of a search space.

    `name` is a path ending in .yaml, or a name in `sweeps/` or in a folder of the user's own.
    Raises UserError, which names the known spaces.
    """
    if name.endswith((".yaml", ".yml")):
        if (file := expanded(name)).is_file():
            return file
        raise UserError.of("study.space", f"is {name}, but there is no such file")
    folders = [sweeps_dir(), *(folder / "sweeps" for folder in config_dirs)]
    for folder in folders:
        if (path := folder / f"{name}.yaml").is_file():
            return path
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    rule = f"is {name}, but must be a path ending in .yaml, or one of: {', '.join(known)}"
    here = f"; type study.space={name}.yaml" if name and Path(f"{name}.yaml").is_file() else ""
    raise UserError.of("study.space", rule + (here or misplaced(config_dirs, "sweeps", name) or closest(name, known)))


def load(path: Path, groups: Mapping[str, Sequence[str]]) -> tuple[Space, list[Fault]]:
    """Return the space without its faulty keys, and their faults.

    `groups` maps config groups to their options.
    """
    try:
        if rule := hazard(path):
            return Space(source=path.name), [Fault(str(path), rule)]
        tree = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, *UNREADABLE) as error:
        return Space(source=path.name), [Fault(str(path), f"cannot be read: {' '.join(str(error).split())}")]
    if not isinstance(tree, dict) or not tree:
        return Space(source=path.name), [Fault(str(path), "must map config keys to ranges, and holds none")]
    reader = _Reader(groups, path.name)
    for key, entry in tree.items():
        reader.read(str(key), entry)
    return Space(tuple(reader.parameters), path.name), reader.faults


@dataclass(slots=True)
class _Reader:
    """Reads the entries of a search space's file, and collects keys and faults."""

    groups: Mapping[str, Sequence[str]]
    source: str
    parameters: list[Parameter] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def read(self, key: str, entry: Any) -> None:
        if nested := _nested(key, entry):
            self._fault(key, nested)
            return
        before = len(self.faults)
        known = is_key(key) and section(key) is None or may_be_of_own_method(key, self.groups)
        if key not in self.groups and not _is_entry(key) and not known:
            question = meant(key) or closest(key, (*keys(), *self.groups))
            self._fault(key, f"is neither a config key nor a config group{question}")
        elif key in ("experiment", "study", "tracker", "engine", "launcher") or key.startswith(
            ("study.", "tracker.", "engine.", "launcher.", "run_dir", "published")
        ):
            self._fault(key, "belongs to the study, not to a trial, and cannot be searched")
        elif key == "dataset" or key.startswith("dataset.") and key != "dataset.max_length":
            self._fault(
                key, "decides what the trials are compared on, and cannot be searched; of dataset, only max_length can"
            )
        elif key in ("trainer.device", "trainer.save_best", "trainer.calibration", "title"):
            self._fault(key, "is the same for all trials of a study, and cannot be searched")
        if not isinstance(entry, dict):
            self._fault(
                key, f"is {_short(entry)}, but must be a range such as {{low: 1, high: 8}} or {{choices: [4, 8]}}"
            )
            return
        for name in entry:
            if name not in _RANGE_FIELDS:
                allowed = ", ".join(_RANGE_FIELDS)
                self._fault(
                    f"{key}.{name}",
                    f"is not a field of a range{closest(str(name), _RANGE_FIELDS)}; there are: {allowed}",
                )
        domain = self._choices(key, entry) if "choices" in entry else self._range(key, entry)
        when = self._when(key, entry.get("when"))
        if domain is not None and len(self.faults) == before:
            self.parameters.append(Parameter(key, domain, when))

    def _choices(self, key: str, entry: Mapping[str, Any]) -> Choices | None:
        values = entry["choices"]
        if extra := [name for name in ("low", "high", "log", "step") if name in entry]:
            self._fault(key, f"has choices, so it cannot have {', '.join(extra)}")
        if not isinstance(values, list) or not values:
            self._fault(f"{key}.choices", f"is {_short(values)}, but must be a list of at least one value")
            return None
        if len(values) > MOST_CHOICES:
            self._fault(
                f"{key}.choices", f"has {len(values)} values, but may have {MOST_CHOICES} at most; give a range"
            )
            return None
        if nested := [value for value in values if not isinstance(value, Scalar)]:
            self._fault(
                f"{key}.choices", f"holds {_short(nested[0])}, but must hold plain values; name a config group instead"
            )
            return None
        if twice := _twice(values):
            self._fault(f"{key}.choices", twice)
        if key in self.groups and (unknown := [v for v in values if v not in self.groups[key]]):
            self._fault(f"{key}.choices", f"holds {unknown[0]}, but {key} has: {', '.join(self.groups[key])}")
        return Choices(tuple(values))

    def _range(self, key: str, entry: Mapping[str, Any]) -> Range | None:
        low, high, step, log = entry.get("low"), entry.get("high"), entry.get("step"), entry.get("log", False)
        numbers = {"low": low, "high": high} | ({"step": step} if step is not None else {})
        if wrong := [
            name for name, value in numbers.items() if isinstance(value, bool) or not isinstance(value, int | float)
        ]:
            for name in wrong:
                self._fault(f"{key}.{name}", f"is {_short(numbers[name])}, but must be a number (or give choices)")
            return None
        if large := [name for name, value in numbers.items() if isinstance(value, int) and abs(value) > _EXACT]:
            for name in large:
                rule = f"is {numbers[name]}, but a whole number must lie between -2^53 and 2^53, to be drawn exactly"
                self._fault(f"{key}.{name}", rule)
            return None
        assert low is not None and high is not None
        if not (isfinite(low) and isfinite(high)):
            self._fault(key, f"goes from {low} to {high}, but both ends must be finite")
            return None
        if not isfinite(float(high) - float(low)):
            self._fault(key, f"goes from {low} to {high}, which is wider than a number can be")
            return None
        if key in self.groups:
            self._fault(key, "is a config group: give choices")
        if low >= high:
            self._fault(f"{key}.low", f"is {low}, but must be below high, which is {high}")
        if not isinstance(log, bool):
            self._fault(f"{key}.log", f"is {log!r}, but must be true or false")
        elif log and low <= 0:
            self._fault(f"{key}.low", f"is {low}, but must be above 0 on a log scale")
        if step is not None and log:
            self._fault(f"{key}.step", f"is {step}, but a log scale has no step")
        if step is not None and not isfinite(step):
            self._fault(f"{key}.step", f"is {step}, but must be a finite number")
        elif step is not None and step <= 0:
            self._fault(f"{key}.step", f"is {step}, but must be above 0")
        elif step is not None and low < high:
            self._steps(key, low, high, step)
        return Range(low, high, bool(log), step)

    def _steps(self, key: str, low: Number, high: Number, step: Number) -> None:
        width = high - low
        if step > width:
            self._fault(f"{key}.step", f"is {step}, but must be at most {width}, from low to high")
        elif width / step > _EXACT or low + step == low or high - step == high:
            self._fault(
                f"{key}.step", f"is {step}, which is too small beside {low} and {high} to tell two values apart"
            )

    def _when(self, key: str, entry: Any) -> dict[str, tuple[Scalar, ...]]:
        if entry is None:
            return {}
        if not isinstance(entry, dict):
            self._fault(f"{key}.when", f"is {entry!r}, but must map an earlier key to a value, as in {{adapter: lora}}")
            return {}
        known = {parameter.key: parameter for parameter in self.parameters}
        found: dict[str, tuple[Scalar, ...]] = {}
        for name, wanted in entry.items():
            values = tuple(wanted) if isinstance(wanted, list) else (wanted,)
            if not values:
                self._fault(f"{key}.when", f"gives no value of {name}, but must give at least one")
            elif name not in known:
                self._fault(
                    f"{key}.when", f"names {name}, but must name a key searched above it: {', '.join(known) or 'none'}"
                )
            elif missing := [value for value in values if not known[name].domain.contains(value)]:
                self._fault(f"{key}.when", f"wants {name} to be {missing[0]}, but it is {known[name].domain}")
            else:
                found[str(name)] = values
        return found

    def _fault(self, path: str, message: str) -> None:
        self.faults.append(Fault(path, message, f"search space {self.source}"))


def _is_entry(key: str) -> bool:
    """Return whether the key is an entry of a mapping whose entries can be searched alone."""
    owner, _, name = key.rpartition(".")
    return owner in ENTRIES and bool(name)


def _nested(key: str, entry: Any) -> str:
    """Return the rule for keys below their section, which are written in full; empty for any other
    entry."""
    if not isinstance(entry, dict) or any(name in _RANGE_FIELDS for name in entry):
        return ""
    inner = [f"{key}.{name}" for name in entry if is_key(f"{key}.{name}")]
    return f"holds keys of its own, which are written in full, as {inner[0]}: {{low: …, high: …}}" if inner else ""


def _twice(values: Sequence[Scalar]) -> str:
    """Return the rule that is broken where Optuna takes two values for one, or an empty text.

    Optuna does so with 1, 1.0 and true.
    """
    known: dict[Scalar, Scalar] = {}
    for value in values:
        if (value != value and any(other != other for other in known)) or value in known:
            first = known.get(value, value)
            same = (
                "holds a value twice"
                if repr(first) == repr(value)
                else f"{_said(first)} and {_said(value)} are the same value"
            )
            return f"is {_short(list(values))}, but {same}"
        known[value] = value
    return ""


def _said(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _short(value: object) -> str:
    return shortened(repr(value), 100)


def _plain(parameter: Parameter) -> dict[str, Any]:
    match parameter.domain:
        case Choices(values=values):
            entry: dict[str, Any] = {"choices": list(values)}
        case Range(low=low, high=high, log=log, step=step):
            entry = {"low": low, "high": high} | ({"log": True} if log else {}) | ({"step": step} if step else {})
    return entry | ({"when": {key: list(values) for key, values in parameter.when.items()}} if parameter.when else {})
