"""A Slurm cluster of fake nodes on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "scancel", "squeue", "scontrol")
NODES = 4

_CONF = """
ClusterName=sweep
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=20
MinJobAge=300
SlurmdTimeout=60
PreemptType=preempt/none
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=8 RealMemory=64000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True, slots=True)
class Slurm:
    """A running cluster; `folder` has its configuration and logs."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str, cwd: Path | None = None, **more: str) -> str:
        """Return the output of a command of Slurm."""
        done = subprocess.run(
            command, env={**self.environment, **more}, cwd=cwd, text=True, capture_output=True, check=True
        )
        return done.stdout

    def jobs(self, name: str) -> dict[str, str]:
        """Return the states of the jobs with this name that have not ended, by id."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i %T", f"--name={name}").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)


def missing() -> list[str]:
    """Return the programs of Slurm that are not installed."""
    return [name for name in NEEDED if shutil.which(name, path=_path()) is None]


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Run a cluster of `NODES` nodes within the context. `folder` has a short path, since sockets
    are in it."""
    import getpass

    port = _free_ports(NODES + 1)
    conf = _CONF.format(
        host=socket.gethostname().partition(".")[0], user=getpass.getuser(), folder=folder, nodes=NODES, port=port,
        first=port + 1, last=port + NODES,
    )  # fmt: skip
    (folder / "slurm.conf").write_text(conf)
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    found = Slurm(folder)
    files = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = ["munged", "--foreground", "--force", *(f"--{name}={folder}/munge.{end}" for name, end in files.items())]
    nodes = [["slurmd", "-D", "-N", f"n{number}"] for number in range(1, NODES + 1)]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in (munge, ["slurmctld", "-D", "-c"], *nodes):
            daemons.append(_started(command, found.environment))
        _wait_until_idle(found)
        yield found
    finally:
        _end_jobs(found)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            daemon.wait(30)


def _end_jobs(found: Slurm) -> None:
    """Cancel all jobs, and wait until their processes are gone: the daemons would leave them."""
    until = time.monotonic() + 60
    with suppress(subprocess.CalledProcessError):
        found.run("scancel", "--state=PENDING")
        found.run("scancel", "--full", "--signal=KILL", "--state=RUNNING")
        while found.run("squeue", "--noheader") and time.monotonic() < until:
            time.sleep(0.5)


def _started(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    program = shutil.which(command[0], path=_path())
    assert program is not None
    return subprocess.Popen(
        [program, *command[1:]], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _wait_until_idle(found: Slurm) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if found.run("sinfo", "--noheader", "--format=%t").split() == ["idle"]:
                return
        except subprocess.CalledProcessError:
            pass
        time.sleep(0.2)
    raise TimeoutError((found.folder / "slurmctld.log").read_text()[-2000:])


def _path() -> str:
    """Return the folders of programs: Debian puts those of daemons where users do not look."""
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def _free_ports(count: int) -> int:
    """Return the first of `count` ports in a row that are free."""
    for first in range(26800, 32000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise OSError("no ports are free")
