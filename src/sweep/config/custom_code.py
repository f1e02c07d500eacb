"""Objects of the user's own code, named by a dotted path such as `mypackage.MySampler`."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from sweep.config.own_modules import digest, imported, is_installed
from sweep.errors import UserError, closest, first_line

_SWEEP = Path(__file__).parents[1]
_PYTHON = Path(sysconfig.get_path("stdlib")).resolve()


class OwnCodeError(Exception):
    """A fault of the user's own code. Its text is the end of a message."""


def is_own(name: str) -> bool:
    """Return whether a name is a dotted path. None of sweep's own names has a dot."""
    return "." in name


def load(path: str) -> Callable[..., Any]:
    """Return the class or function at a dotted path.

    Modules are found on `sys.path`, and last in the working directory. Raises OwnCodeError where
    the module cannot be imported, or holds nothing callable of that name.
    """
    name, _, attribute = path.rpartition(".")
    module = _module(name)
    found = getattr(module, attribute, None)
    if found is None:
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise OwnCodeError(f"is {path}, but {_place(module)} has no {attribute}{closest(attribute, names)}")
    if not callable(found):
        raise OwnCodeError(f"is {path}, which is {found!r}, but must be a class or a function")
    return found  # type: ignore[no-any-return]


def argument_rule(path: str, owner: Callable[..., Any], given: Mapping[str, object]) -> tuple[str, str] | None:
    """Return the argument's name and the rule that a call with these arguments breaks, or None.

    The name is empty where the rule is of no single argument.
    """
    signature = _signature(owner)
    if signature is None:
        return None
    parameters = signature.parameters.values()
    if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        allowed = [each.name for each in parameters if each.kind is not inspect.Parameter.POSITIONAL_ONLY]
        for name in given:
            if name not in allowed:
                shown = [each for each in allowed if each != "seed"]
                return name, f"is no argument of {path}{closest(name, shown)}; there are: {', '.join(shown) or 'none'}"
    try:
        signature.bind(**given)
    except TypeError as error:
        return "", f"does not suit {path}: {first_line(error)}"
    return None


def takes_seed(owner: Callable[..., Any]) -> bool:
    """Return whether a class or function has an argument `seed`."""
    signature = _signature(owner)
    return signature is not None and "seed" in signature.parameters


def code_state(path: str) -> str:
    """Return the version of the code behind a dotted path, for records.

    That is the version of its distribution, where it has one, and the SHA-256 of the module's
    file when it was imported. Raises OwnCodeError as `load` does.
    """
    module = _module(path.rpartition(".")[0])
    top = module.__name__.partition(".")[0]
    installed = metadata.packages_distributions().get(top, [])
    versions = [f"{name} {metadata.version(name)}" for name in dict.fromkeys(installed)]
    return ", ".join([*versions, *_read(module).own]) or "built in"


def sent_state(path: str) -> str:
    """Return the version of the code behind a dotted path, to compare two machines.

    That is `code_state` for code that is installed. Other code is the same wherever its module's
    file is, whether or not a distribution there names it, as an editable one does. Raises
    OwnCodeError as `load` does.
    """
    module = _module(path.rpartition(".")[0])
    file = getattr(module, "__file__", None)
    return code_state(path) if file is None or is_installed(Path(file)) else ", ".join(_read(module).own)


def imported_states(paths: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each file of the user's own that the modules of dotted paths import,
    anywhere, by the names of its module, as they were when these modules were imported. Raises
    OwnCodeError as `load` does."""
    modules = [_module(path.rpartition(".")[0]) for path in paths]
    return {name: state for module in modules for name, state in _read(module).imported.items()}


@dataclass(frozen=True, slots=True)
class _Sources:
    """The SHA-256 of a module's file, without an entry where it has none, and those of the modules
    of the user's own that it imports."""

    own: tuple[str, ...]
    imported: Mapping[str, str]


# A file may be changed after it was imported: the code that runs is that of the import.
_SOURCES: WeakKeyDictionary[ModuleType, _Sources] = WeakKeyDictionary()


def _read(module: ModuleType) -> _Sources:
    """Return the sources of a module, as they were at the first call for it. The file may be
    inside a zip file."""
    if (known := _SOURCES.get(module)) is not None:
        return known
    file = getattr(module, "__file__", None)
    if not file:
        return _SOURCES.setdefault(module, _Sources((), {}))
    in_zip = getattr(module.__loader__, "get_data", None)
    contents = in_zip(file) if in_zip and not Path(file).exists() else Path(file).read_bytes()
    others = {} if is_installed(Path(file)) else imported(module.__name__)
    return _SOURCES.setdefault(module, _Sources((digest(contents),), others))


@contextmanager
def as_user_error(key: str, path: str, doing: str) -> Iterator[None]:
    """Turn an error of the user's code, or its `sys.exit()`, into a UserError of the config key.

    The message names the line of that code. Errors of Optuna's storage and of sweep itself are
    raised as they are. The working directory stays.
    """
    from optuna.exceptions import StorageInternalError

    try:
        with _staying():
            yield
    except (UserError, StorageInternalError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise UserError.of(key, f"is {path}, which {doing} raised {described(error)}") from error


def described(error: BaseException) -> str:
    """Return the kind of an error, its message, and the last line of the user's code.

    A line of the user's code is one that is neither sweep's nor Python's nor a library's. A syntax
    error names its own.
    """
    last = None
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_file() and not is_installed(file) and {_SWEEP, _PYTHON}.isdisjoint(file.parents):
            last = frame
    where = f" ({Path(last.filename).name}, line {last.lineno})" if last else ""
    kind, text = type(error).__name__, first_line(error)
    return f"{kind}{where}" if text == kind else f"{kind}: {text}{where}"


@contextmanager
def _staying() -> Iterator[None]:
    """Return to the working directory at the end of the context: relative paths, such as that of
    the run directory, are those of the directory where the user started the program."""
    before = None
    with suppress(OSError):  # it was deleted
        before = Path.cwd()
    try:
        yield
    finally:
        with suppress(OSError):
            if before is not None:
                os.chdir(before)


def _module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        with _staying():
            module = import_module(name)
        with suppress(OSError):  # a file that is gone: who asks for its state is told
            _read(module)
        return module
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise OwnCodeError(f"names {error.name}, and there is no such module in {here} or on sys.path") from None
        raise OwnCodeError(f"names {name}, which cannot be imported: {described(error)}") from None
    except (Exception, SystemExit) as error:
        raise OwnCodeError(f"names {name}, which cannot be imported: {described(error)}") from None


def _place(module: ModuleType) -> str:
    return str(getattr(module, "__file__", None) or module.__name__)


def _signature(owner: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(owner)
    except (TypeError, ValueError):
        return None
