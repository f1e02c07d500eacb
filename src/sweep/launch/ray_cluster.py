"""A Ray cluster: started on this machine or joined, and left."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import resource
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sweep.config.schema import Config
from sweep.config.secrets import secret_names, shown
from sweep.config.section import Section
from sweep.engine.host_memory import host_limit
from sweep.errors import UserError
from sweep.launch.code import PACKAGE
from sweep.launch.head_address import NO_HEAD, check_head
from sweep.launch.staging import stage, too_large
from sweep.launch.stale_folders import clear_left_over
from sweep.launch.token_file import token_for_user_alone

_FOLDER = "sweep-ray-"
_SHORT = "/tmp"
_LONGEST = len(_SHORT) + 10  # characters of another folder for Ray's files
_FILES = 16 * 2**20  # bytes for Ray's logs, 0.2 MiB and half a MiB an hour, and the workers' temporary files
_STORE = 500 * 2**20  # bytes of shared memory for what travels
_WORKER = 600 * 2**20  # bytes of a worker that has imported PyTorch and transformers: the least that it takes
_LOOPBACK = "127.0.0.2"  # Ray replaces 127.0.0.1 by the machine's own address
_OF_HUB = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # with which workers read gated models
_OF_RAY = ("RAY_AUTH_TOKEN",)  # with which Ray's own processes talk to each other
# A busy machine starts a worker in minutes; Ray would let workers yield to every other process, and
# write statistics of its threads to its logs each minute, 4 MiB an hour. -1 makes it write them all the time.
_OF_RAY_HERE = {
    "RAY_worker_register_timeout_seconds": "600", "RAY_worker_niceness": "0",
    "RAY_event_stats_print_interval_ms": "3600000",
}  # fmt: skip
_TRIES = "RAY_gcs_server_port_wait_time_s"  # how often Ray tries to talk to a head: half a minute each time
_TRIED = "6"  # a head that was started again needs some seconds
_NOT_FOUND = "No node info found"  # in Ray's message
_PASSED_ON = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster; `draining` if it is about to go. What is free there is None where
    that was not asked."""

    id: str
    host: str
    cpus: int
    gpus: int
    draining: bool = False
    free_cpus: float | None = None
    free_gpus: float | None = None


@dataclass(slots=True)
class Cluster:
    """A cluster that this process is connected to."""

    head: tuple[str, int]  # address and port
    local: bool
    id: str = ""

    def nodes(self) -> list[Node] | None:
        """Return the nodes that are alive; None where the head does not say."""
        import ray
        from ray._private.state import state

        try:
            found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
            draining = state.get_draining_nodes()
        except Exception:  # the head may go between two questions, and Ray raises errors of many kinds
            return None
        return [
            Node(
                node["NodeID"], str(node["NodeManagerHostname"]), int(node["Resources"].get("CPU", 0)),
                int(node["Resources"].get("GPU", 0)), node["NodeID"] in draining,
            )
            for node in found if node["Alive"]
        ]  # fmt: skip

    def with_free(self, nodes: Sequence[Node]) -> list[Node]:
        """Return nodes with what nothing takes of them, as far as the head says."""
        from ray._private.state import state

        try:
            free = state.available_resources_per_node()  # type: ignore[no-untyped-call]
        except Exception:  # as above
            return list(nodes)
        return [
            replace(node, free_cpus=free[node.id].get("CPU", 0), free_gpus=free[node.id].get("GPU", 0))
            if node.id in free else node for node in nodes
        ]  # fmt: skip

    def answers(self) -> bool:
        """Return whether the head of this cluster answers. One that was started in its place has
        another cluster, and Ray aborts a process that asks it for the nodes of this one."""
        from ray._raylet import GcsClient  # type: ignore[attr-defined]

        try:
            socket.create_connection(self.head, timeout=2.0).close()  # Ray's client would wait for a minute
            found: str = GcsClient(address=":".join(map(str, self.head))).cluster_id.hex()
        except Exception:  # it goes in between; Ray raises errors of many kinds
            return False
        return found == self.id


@contextmanager
def connected(config: Config, own: Sequence[str]) -> Iterator[Cluster]:
    """Start Ray on this machine, or join the cluster at `launcher.address`; leave it at the end.

    `own` are dotted paths of the user's code that is sent to the workers. The signal handlers stay
    those of the caller. Raises UserError where Ray cannot be started or joined.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    parent = _parent()
    clear_left_over(_FOLDER, parent)
    with (
        tempfile.TemporaryDirectory(
            prefix=f"{_FOLDER}{os.getpid()}-", dir=parent, ignore_cleanup_errors=True
        ) as folder,
        _silenced(),
    ):
        try:
            with _without_secrets():
                if config.launcher.name == "local":
                    _start(config, Path(folder))
                else:
                    _join(config, Path(folder), own)
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own in its place
            ray.util.register_serializer(Config, serializer=_Sent(), deserializer=_received)
            host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
            node: Any = ray._private.worker._global_node
            yield Cluster((host, int(port)), config.launcher.name == "local", node.cluster_id.hex())
        finally:
            with suppress(Exception):
                ray.shutdown()
            signal.signal(signal.SIGTERM, handler)


def _parent() -> str:
    """Return the folder for Ray's files. The path of a socket may have 107 characters, of which
    Ray takes 90."""
    usual = tempfile.gettempdir()
    return _SHORT if len(usual) > _LONGEST and os.access(_SHORT, os.W_OK) else usual


def _start(config: Config, folder: Path) -> None:
    """Start Ray on this machine: it listens on the loopback interface alone."""
    import ray

    gpus = _gpus(config)
    workers = config.launcher.workers or gpus or 1
    if gpus and workers > gpus:
        rule = f"is {workers}, but this machine has {gpus} GPU{'s' if gpus > 1 else ''}, and each worker takes one"
        raise UserError.of("launcher.workers", rule)
    check_room(workers)
    check_file_size()
    check_disk(folder)
    paths = filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH")))
    try:
        with (
            _environment(PYTHONPATH=os.pathsep.join(paths), **_OF_RAY_HERE),
            _hangups_ignored(),
            _groups_of_their_own(),
            token_for_user_alone(),
        ):
            ray.init(
                address="local", num_cpus=workers, num_gpus=gpus, include_dashboard=False, log_to_driver=False,
                logging_level=logging.ERROR, object_store_memory=_STORE, _node_ip_address=_LOOPBACK,
                _temp_dir=str(folder),
            )  # fmt: skip
    except Exception as error:
        rule = f"is local, but Ray cannot be started here: {_in_one_line(str(error))}"
        raise UserError.of("launcher", f"{rule}; launcher=inline trains in this process, without Ray") from None


def check_room(workers: int) -> None:
    """Raise UserError where this machine's memory cannot hold so many workers, even without a
    model."""
    part = host_limit(workers=workers)
    if workers > 1 and part.bytes < _WORKER:
        takes = f"a worker takes {_WORKER // 2**20} MiB of memory without its model"
        rule = f"is {workers}, but {takes}, and {part.source} {part.bytes // 2**20} MiB"
        most = next((count for count in range(workers - 1, 1, -1) if host_limit(workers=count).bytes >= _WORKER), 1)
        raise UserError.of("launcher.workers", f"{rule}; use at most {most}")


def check_file_size() -> None:
    """Raise UserError where files may not be as large as Ray's shared memory: the kernel would end
    Ray's processes without a word."""
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most == resource.RLIM_INFINITY or most >= _STORE:
        return
    rule = f"is local, but ulimit -f allows files of {most // 1024:,} KiB, and Ray's shared memory is one of "
    way_out = "raise the limit, or use launcher=inline, which trains in this process, without Ray"
    raise UserError.of("launcher", f"{rule}{_STORE // 1024:,} KiB; {way_out}")


def check_disk(folder: Path) -> None:
    """Raise UserError where the disk of Ray's files has no room for them."""
    free = shutil.disk_usage(folder).free
    if free < _FILES:
        needs = f"Ray and the workers keep temporary files in {folder.parent}: they need {_FILES // 2**20} MiB or more"
        rule = f"is local, but {needs}, and {free // 2**20} MiB are free"
        way_out = f"make room there, or set TMPDIR to a folder of another disk, of {_LONGEST} characters or less"
        raise UserError.of("launcher", f"{rule}; {way_out}")


@contextmanager
def _hangups_ignored() -> Iterator[None]:
    """Ignore SIGHUP within the context, and in all processes that are started there: where a
    terminal is closed, the coordinator puts the trials away, and needs its workers for that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _groups_of_their_own() -> Iterator[None]:
    """Start Ray's processes in process groups of their own within the context.

    `timeout` and `kill` send SIGTERM to the whole group of the coordinator, which needs its
    workers to put the trials away.
    """
    import ray._private.services

    services: Any = ray._private.services
    usual = services.ConsolePopen
    services.ConsolePopen = partial(usual, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = usual


def _gpus(config: Config) -> int:
    """Return the number of GPUs of this machine; 0 where trials train on the CPU.

    Raises UserError for trainer.device=cuda without a GPU.
    """
    if config.trainer.device == "cpu":
        return 0
    import torch

    found = torch.cuda.device_count()
    if config.trainer.device == "cuda" and not found:
        raise UserError.of("trainer.device", "is cuda, but torch sees no GPU here; it must be auto or cpu")
    return found


def _join(config: Config, folder: Path, own: Sequence[str]) -> None:
    """Join a cluster, and send it the code."""
    import ray

    address = str(config.launcher.address)
    check_head(address)
    code = folder / "code"
    code.mkdir()
    stage(code, own)
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    options: dict[str, Any] = {}
    if config.launcher.node_ip_address is not None:
        options["_node_ip_address"] = config.launcher.node_ip_address
    try:
        with _environment(**{_TRIES: os.environ.get(_TRIES, _TRIED)}):
            ray.init(
                address=address, log_to_driver=False, logging_level=logging.ERROR,
                runtime_env={"working_dir": str(code), "env_vars": passed_on}, **options,
            )  # fmt: skip
    except Exception as error:
        if "exceeds the maximum size" in f"{error} {error.__cause__}":
            raise too_large(code) from None
        raise not_joined(error, address, config.launcher.node_ip_address) from None


def not_joined(error: Exception, address: str, own: str | None) -> UserError:
    """Return the error of a cluster that cannot be joined. `own` is the address of this machine,
    as far as the user set it."""
    if own is not None and _NOT_FOUND in _text(error):
        rule = f"is {own}, but no node of the cluster at {address} on this machine has that address"
        way_out = "type that of ray start --node-ip-address, or null, so that Ray finds it"
        return UserError.of("launcher.node_ip_address", f"{rule}: {way_out}")
    return UserError.of("launcher.address", f"is {address}, {_why(error, address)}")


def _text(error: Exception) -> str:
    """Return the text of an error of Ray. Its reason may be the cause of one that only names the
    address."""
    return str(error) if error.__cause__ is None else f"{error}: {error.__cause__}"


def _why(error: Exception, address: str) -> str:
    """Return why a cluster cannot be joined, in words."""
    text = _text(error)
    if "Version mismatch" in text or "version mismatch" in text:
        ours = f"Ray {importlib.metadata.version('ray')}"
        return f"but it runs other versions of Ray or Python than this process ({ours}): {_in_one_line(text)}"
    if "auth_token" in text:  # the file that Ray names in each of its messages on tokens
        rule = "but this process has no token, or another one than the cluster: copy ~/.ray/auth_token"
        return f"{rule} from the head's machine, and set RAY_AUTH_MODE=token (docs/scaling.md)"
    if "Failed to connect to GCS" in text:
        return f"{NO_HEAD}; a head that was just started may need some seconds more"
    if "node_ip_address" in text or "Can't find" in text or "No node" in text or "raylet" in text.lower():
        rule = "but no Ray node of that cluster runs on this machine; start one without workers"
        return f"{rule}: ray start --address={address} --num-cpus=0 --num-gpus=0 ({_in_one_line(text)})"
    return f"which cannot be joined: {_in_one_line(text)}"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())[:400]


@dataclass(slots=True)
class _Sent:
    """Makes what is sent of a config: all but the passwords of the storage and the trackers.

    The trials of a study have the same of both, which are looked through once.
    """

    _given: tuple[Section, ...] = ()
    _shown: Mapping[str, Section] = field(default_factory=dict)

    def __call__(self, config: Config) -> Any:
        given = config.study, config.tracker
        if given != self._given:
            known = shown(config)
            self._given, self._shown = given, {"study": known.study, "tracker": known.tracker}
        return config.model_copy(update=dict(self._shown)).__getstate__()


def _received(state: Any) -> Config:
    config = Config.__new__(Config)
    config.__setstate__(state)
    return config


@contextmanager
def _without_secrets() -> Iterator[None]:
    """Take keys and passwords out of the environment that Ray's processes inherit, while they are
    started; those of Ray, and of the hub, by which workers read models, stay."""
    with _environment(**{name: None for name in secret_names(os.environ) if name not in (*_OF_HUB, *_OF_RAY)}):
        yield


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set variables of the environment within the context, and take out those that are None."""
    before = {name: os.environ.get(name) for name in values}
    _set_variables(values)
    try:
        yield
    finally:
        _set_variables(before)


def _set_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep the command line, which may hold a password, out of Ray's list of jobs, and messages of
    Ray's processes out of this one's output: what they report is told in other words."""
    from ray._private import utils, worker

    names = ((utils, "get_entrypoint_name", lambda: "sweep"), (worker, "print_to_stdstream", lambda *_, **__: None))
    usual = [(module, name, getattr(module, name)) for module, name, _ in names]
    for module, name, other in names:
        setattr(module, name, other)
    try:
        yield
    finally:
        for module, name, former in usual:
            setattr(module, name, former)
