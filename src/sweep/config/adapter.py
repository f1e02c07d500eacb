"""The adapter methods: what every method's config has, and how a method is found by its name.

A method is a subclass of `AdapterConfig`. The shipped ones are the modules of
`sweep.model.adapters`, one a method, whose names are the values of `adapter.method`. A method of
the user's own is named by the dotted path of its class. The modules are imported when a config is
parsed: they import torch and PEFT only inside their functions.
"""

from __future__ import annotations

import inspect
import json
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Literal

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from sweep.config import custom_code
from sweep.config.custom_code import OwnCodeError
from sweep.config.folders import conf_dir
from sweep.config.section import Section
from sweep.errors import closest

PACKAGE = "sweep.model.adapters"
METHOD = "adapter.method"
DEFAULT = "lora"
WHOLE_RULE = "whole_rule"  # the type of an error whose message is a whole rule

Trains = Literal["adapter", "head", "everything"]
Kernel = Literal["lora", "dora", "ia3"]


class AdapterConfig(Section):
    """The keys that every method has. A method adds its own keys, its facts (the class variables)
    and its functions.

    A key that is null has the method's default.
    """

    label: ClassVar[str]  # the method's name in reports
    trained: ClassVar[str] = "adapter weights"  # what is trained, as the model card says it
    trains: ClassVar[Trains] = "adapter"
    packed_kernel: ClassVar[Kernel | None] = None  # None: the Trainer trains the trials, one at a time
    merges: ClassVar[bool] = True  # PEFT can merge the adapter into a base that is not quantised
    merges_quantized: ClassVar[bool] = False  # and into one in 4 bits

    method: str
    quantization: Literal["none", "nf4"] = "none"
    double_quantization: bool = True
    compute_dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    head_init: Literal["random", "probe"] = "random"

    def rules(self) -> Iterator[tuple[str, str]]:
        """Yield each key of the method whose value does not suit its others, with the rule that it
        breaks."""
        yield from ()

    def peft_config(self, model: Any, head: tuple[str, ...]) -> Any:
        """Return the PeftConfig of this method for `model`, a PreTrainedModel, which may be on the
        meta device.

        `head` are the modules that are trained beside the adapter; `task_type` and
        `modules_to_save` are set by the caller. Raises UserError for values that do not suit the
        model.
        """
        raise NotImplementedError

    def learning_rate_factors(self) -> Mapping[str, float]:
        """Return multiples of `optimizer.learning_rate` by a part of the names of the weights that
        they are for."""
        return {}

    @property
    def reads_rows(self) -> bool:
        """Return whether `initialise` sets the adapter's first weights from training rows."""
        return False

    def initialise(self, model: Any, batches: Iterable[Mapping[str, Any]]) -> None:
        """Set the first weights of a PeftModel's adapter from `batches` of training rows, if the
        method `reads_rows`. A batch maps the names of the model's inputs to tensors, (rows,
        tokens), and can be gone through more than once.

        The same batches give the same weights, and the weights of the base stay as they are.
        """

    def report_keys(self) -> tuple[str, ...]:
        """Return the keys that a report shows, the common ones around the method's own."""
        own = tuple(name for name in type(self).model_fields if name not in AdapterConfig.model_fields)
        return ("method", "quantization", "compute_dtype", *own, "head_init")

    def unmergeable(self) -> str:
        """Return why PEFT cannot merge the trained adapter into its base; empty where it can."""
        if not self.merges:
            return f"{self.label} computes what no weight of the base can hold"
        if self.quantization != "none" and not self.merges_quantized:
            return f"PEFT merges no {self.label} adapter into a base in 4 bits"
        return ""


def shipped() -> Mapping[str, type[AdapterConfig]]:
    """Return the methods of `sweep.model.adapters` by name."""
    return _shipped()


def known() -> Mapping[str, type[AdapterConfig]]:
    """Return the shipped methods, and those of the user's own that a config has named so far."""
    return {**_shipped(), **_OWN}


def find(method: str) -> type[AdapterConfig]:
    """Return the config class of a method. Raises OwnCodeError for a dotted path that leads to no
    method, KeyError for a name that no shipped method has."""
    if not custom_code.is_own(method):
        return _shipped()[method]
    if method not in _OWN:
        _OWN[method] = _own(method)
    return _OWN[method]


def parsed(tree: Any) -> Any:
    """Return the config of the method that `tree` names; what is no mapping is returned as it is.

    Null values are left out, so that the method's defaults apply, and so are the false ones of
    other methods' keys: configs of old records have the keys of all methods. Raises
    ValidationError.
    """
    if not isinstance(tree, Mapping):
        return tree
    method = tree.get("method") or DEFAULT
    kind = _found(method)
    given = {name: value for name, value in tree.items() if value is not None}
    given = {name: value for name, value in given.items() if value is not False or name in kind.model_fields}
    return kind.model_validate_json(json.dumps({**given, "method": method}))


def default() -> AdapterConfig:
    """Return the config of a study that names no method."""
    return _shipped()[DEFAULT](method=DEFAULT)


def key_names() -> tuple[str, ...]:
    """Return the keys of all known methods, common ones first."""
    return tuple(dict.fromkeys(name for kind in known().values() for name in kind.model_fields))


def may_be_of_own_method(key: str, groups: Mapping[str, Sequence[str]]) -> bool:
    """Return whether an adapter method of the user's own may have the searched key: one of the
    config `groups`' options is the user's. Its class is known once a config names it; each end of
    a range is parsed, which refuses a key that it has not."""
    parent, _, name = key.rpartition(".")
    options = groups.get("adapter", ())
    return (
        parent == "adapter"
        and bool(name)
        and any(not (conf_dir() / "adapter" / f"{one}.yaml").exists() for one in options)
    )


def refused_key(method: str, name: str, value: object, meant: str = "") -> str:
    """Return what is wrong with a key that the method does not have. `meant` asks about the key
    that was probably meant, where that is not one of a similar name."""
    kind = known().get(method)
    owners = [other for other, each in known().items() if name in each.model_fields]
    if kind is None or not owners:
        names = tuple(kind.model_fields) if kind else key_names()
        question = meant or closest(name, names)
        return f"is not a config key{question}; adapter has: {', '.join(names)} (adapter.method is {method})"
    having = " and ".join([", ".join(owners[:-1]), owners[-1]]) if len(owners) > 1 else owners[0]
    shown, have = json.dumps(value, ensure_ascii=False), "have" if owners[1:] else "has"
    rule = f"is {shown}, but adapter.method is {method}: only {having} {have} it"
    return f"{rule}; type adapter.{name}=null, or adapter={owners[0]}"


_OWN: dict[str, type[AdapterConfig]] = {}


@cache
def _shipped() -> dict[str, type[AdapterConfig]]:
    package = import_module(PACKAGE)
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = {name: _defined_in(f"{PACKAGE}.{name}") for name in names}
    return {name: found[name] for name in (DEFAULT, *(name for name in names if name != DEFAULT))}


def _defined_in(module: str) -> type[AdapterConfig]:
    """Return the one method that a module defines: a subclass of AdapterConfig with a `label`.
    Raises OwnCodeError where there is none, or several."""
    found = [
        value
        for value in vars(import_module(module)).values()
        if isinstance(value, type)
        and issubclass(value, AdapterConfig)
        and value.__module__ == module
        and hasattr(value, "label")
    ]
    if len(found) != 1:
        rule = f"defines {len(found)} subclasses of AdapterConfig with a label, but must define one"
        raise OwnCodeError(f"names {module}, which {rule}")
    return found[0]


def _own(path: str) -> type[AdapterConfig]:
    found = custom_code.load(path)
    if not (isinstance(found, type) and issubclass(found, AdapterConfig)):
        raise OwnCodeError(f"is {path}, which is no subclass of sweep.model.adapters.AdapterConfig")
    if not hasattr(found, "label"):
        raise OwnCodeError(f"is {path}, which lacks the class variable `label`, its name in reports")
    if found.trains == "adapter" and (rule := _peft_config_rule(found)):
        raise OwnCodeError(f"is {path}, {rule}")
    return found


def _peft_config_rule(kind: type[AdapterConfig]) -> str:
    """Return what is wrong with the `peft_config` of a method that trains an adapter, as the end
    of a rule; empty where it can be called."""
    needed = "peft_config(self, model, head), which returns PEFT's config (docs/adapters.md)"
    if kind.peft_config is AdapterConfig.peft_config:
        return f"which lacks the method {needed}"
    if not callable(kind.peft_config):
        return f"whose peft_config is {kind.peft_config!r}, but must be the method {needed}"
    bound = isinstance(inspect.getattr_static(kind, "peft_config"), staticmethod | classmethod)
    try:
        inspect.signature(kind.peft_config).bind(*([None] * (2 if bound else 3)))
    except TypeError as error:
        return f"whose peft_config cannot be called: {error}; it must be {needed}"
    return ""


def _found(method: object) -> type[AdapterConfig]:
    """Return the config class of a method. Raises ValidationError of the key `method`."""
    if not isinstance(method, str):
        raise _fault("string_type", method)
    try:
        return find(method)
    except OwnCodeError as error:
        raise _fault(PydanticCustomError(WHOLE_RULE, "{rule}", {"rule": str(error)}), method) from None
    except KeyError:
        names = ", ".join(f"'{name}'" for name in _shipped())
        expected = f"{names} or the dotted path of a class of your own"
        raise _fault("literal_error", method, {"expected": expected}) from None


def _fault(kind: str | PydanticCustomError, value: object, context: dict[str, Any] | None = None) -> ValidationError:
    details = InitErrorDetails(type=kind, loc=("method",), input=value, ctx=context or {})
    return ValidationError.from_exception_data("AdapterConfig", [details])
