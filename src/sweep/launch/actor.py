"""The Ray actor of a worker: it checks that the worker suits the study, and carries messages.

Importing this module loads neither Ray nor torch.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

from sweep.launch.object_store import put

if TYPE_CHECKING:
    from sweep.config.schema import Config, ModelConfig
    from sweep.data.splits import Splits
    from sweep.launch.messages import Batch, Reply
    from sweep.launch.worker import MakeEngine, Worker
    from sweep.launch.workspace import Facts

_GRACE = 10.0  # seconds from SIGTERM to the end of the process
_FOLDER = "sweep-worker-"
_SMALL = 2**16  # bytes that travel within a message
# In reasons why a worker is not used.
_HERE = "on the coordinator"
_CHANGED = "it was changed after the study had read it; start the same command again"


@dataclass(frozen=True, slots=True)
class Spec:
    """The config of a worker, and all that must be the same there as on the coordinator.

    `models` are the fingerprints of the models that the search can reach, by their config as JSON.
    `imported` are the states of modules that the user's own code imports. `make_engine` replaces
    the engine of the config.
    """

    config: Config
    models: Mapping[str, str]
    versions: Mapping[str, str]
    code: str
    own_code: Mapping[str, str]
    python: str
    threads: int = 1
    make_engine: MakeEngine | None = None
    imported: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reasons why the worker on a host cannot train for a study."""

    host: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"the worker on {self.host} is not used: {'; '.join(self.reasons)}"


class Actor:
    """A worker process. Ray calls its methods one after the other, in the main thread.

    `folder` and `path` are the working directory of the coordinator and its `sys.path`. They count
    as far as they are there on this machine.
    """

    def __init__(self, folder: str, path: Sequence[str]) -> None:
        from sweep.launch.code import extend_path

        with suppress(OSError):
            os.chdir(folder)
        extend_path(path)
        self._worker: Worker | None = None
        self._scratch = Path(tempfile.gettempdir()) / f"{_FOLDER}{os.getpid()}"
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's
        signal.signal(signal.SIGTERM, lambda *_: self._told_to_end())

    def greet(self, spec: Spec, splits: Splits) -> Facts | Refusal:
        """Return the facts of the worker's device, or why the worker does not suit the study."""
        if reasons := _unlike(spec) or _failing(spec.config, splits):
            return Refusal(socket.gethostname(), tuple(reasons))
        return self._facts(spec, splits)

    def _facts(self, spec: Spec, splits: Splits) -> Facts | Refusal:
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)  # Ray sets it to the cores of the actor

        import torch

        from sweep.engine.numerics import tell_libraries
        from sweep.errors import UserError
        from sweep.launch.messages import Warned
        from sweep.launch.stale_folders import clear_left_over
        from sweep.launch.worker import Worker
        from sweep.launch.workspace import Workspace, facts_of

        tell_libraries()
        torch.set_num_threads(spec.threads)
        clear_left_over(_FOLDER)
        worker = Worker(Workspace(spec.config, splits, self._scratch), put=_put)
        if spec.make_engine is not None:
            worker.make_engine = spec.make_engine
        try:
            facts = facts_of(worker.workspace.base_models.device)
        except UserError as error:
            return Refusal(socket.gethostname(), tuple(map(str, error.faults)))
        logging.getLogger("sweep").addHandler(_Forwarded(lambda text: worker.mailbox.tell(Warned(text))))
        worker.start()
        self._worker = worker
        return facts

    def lacks(self, own_code: Mapping[str, str]) -> list[str]:
        """Return what is missing or different here of the user's own code. A worker that lacks the
        module of an adapter cannot be greeted: Ray cannot read the config there."""
        return _unlike_own(own_code, {})

    def exchange(self, reply: Reply) -> Batch:
        """Pass on a reply, and return what the worker says."""
        assert self._worker is not None, "the worker was greeted, and suits the study"
        return self._worker.exchange(reply)

    def close(self) -> None:
        """Delete the worker's temporary files."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _told_to_end(self) -> None:
        host = socket.gethostname()
        end = Timer(_GRACE, os._exit, (0,))
        end.daemon = True
        end.start()
        if self._worker is not None:
            self._worker.end(f"its worker on {host} was told to end")


def _put(data: bytes) -> Any:
    """Return what travels within a message in place of many bytes."""
    return data if len(data) < _SMALL else put(data)


class _Forwarded(logging.Handler):
    """Hands warnings to a function, as text."""

    def __init__(self, say: Any) -> None:
        super().__init__(logging.WARNING)
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        self.say(record.getMessage())


def _unlike(spec: Spec) -> list[str]:
    """Return what keeps a worker from training, and what to do about it: its differences from the
    coordinator, or a cache that cannot be written to."""
    from sweep.config.folders import cache_faults
    from sweep.launch.code import PACKAGE, code_fingerprint, differences, versions

    found = [
        f"{one}: use one version on all machines"
        for one in differences({"python": spec.python}, {"python": python()}, _HERE)
    ]
    there = versions()
    if other := differences(spec.versions, there, _HERE):
        pinned = [f"{name}=={version}" for name, version in sorted(spec.versions.items()) if there.get(name) != version]
        found += [*other, f"type there: pip install {' '.join(pinned)}"]
    if spec.code != code_fingerprint():
        found.append(f"sweep's own code in {PACKAGE} differs from the coordinator's: {_CHANGED}")
    found += _unlike_own(spec.own_code, spec.imported)
    return found or _unlike_models(spec.models) or [f"{fault.path}: {fault.message}" for fault in cache_faults()]


def _unlike_own(own_code: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Return how the user's own code, and modules that it imports, differ here."""
    from sweep.config.custom_code import OwnCodeError, imported_states
    from sweep.launch.code import changed, differences, sent_code

    try:
        found = [
            f"{one}: {_CHANGED if there.startswith('sha256') else 'install the same version there'}"
            for name, there in sent_code(own_code).items()
            for one in differences({name: own_code[name]}, {name: there}, _HERE)
        ]
        return found + [
            f"{name}, which own code imports, differs from the coordinator's: {_CHANGED}"
            for name in changed(others, imported_states(own_code))
        ]
    except OwnCodeError as error:
        return [f"own code {error}; install there what is missing"]


def _failing(config: Config, splits: Splits) -> list[str]:
    """Return why metrics of the user's own cannot be computed here: a file, a package or a
    variable of the environment may be missing."""
    from sweep.plan.data import own_metric_faults

    return [str(fault) for fault in own_metric_faults(config.dataset, splits)] if config.dataset.own_metrics else []


def _unlike_models(models: Mapping[str, str]) -> list[str]:
    from sweep.config.schema import ModelConfig
    from sweep.errors import UserError
    from sweep.model.source import fingerprint

    found = []
    for text, known in models.items():
        model = ModelConfig.model_validate_json(text)
        try:
            if fingerprint(model).fingerprint != known:
                name = model.path or model.config
                found.append(f"the files of model {name} differ from the coordinator's: {_same_files(model)}")
        except UserError as error:
            found += map(str, error.faults)
    return found


def _same_files(model: ModelConfig) -> str:
    """Return what to do where a worker has other files of a model."""
    from sweep.config.folders import expanded

    if model.path.startswith("pkg://"):
        return "install the same version of that package there"
    if expanded(model.path).is_dir():
        return "copy the coordinator's folder there"
    return "set model.revision to one commit of the hub"


def python() -> str:
    """Return the version of Python without its last part."""
    return platform.python_version().rpartition(".")[0]
