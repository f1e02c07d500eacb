"""A PostgreSQL server of the tests' own, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_NOBODY = 65534  # a server refuses to run as root
_PROGRAMS = ("/usr/lib/postgresql", "/usr/local/pgsql")
_numbers = count()


@dataclass
class Server:
    """A server that can be stopped and started again. `folder` holds its data; its user `sweep`
    needs no password. A `durable` one waits for the disk at each commit."""

    folder: Path
    programs: Path
    port: int
    prefix: list[str] = field(default_factory=list)
    durable: bool = False

    def address(self, database: str = "postgres", *, user: str = "sweep") -> str:
        """Return the value of `study.storage` for a database."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """Return the address of a new, empty database."""
        name = f"study{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.address(name)

    def sql(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        import psycopg

        address = f"host=127.0.0.1 port={self.port} user=sweep dbname={database}"
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def guard(self, role: str) -> None:
        """Ask a role for its password from now on."""
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all {role} all scram-sha-256\n{rules.read_text()}")
        self.run("pg_ctl", "-D", self.data, "reload")

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories="
        options += "" if self.durable else " -c fsync=off"
        self.run("pg_ctl", "-D", self.data, "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server. `fast` closes its connections, `immediate` is a crash."""
        self.run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def run(self, program: str, *arguments: str) -> None:
        command = [*self.prefix, str(self.programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, env={"HOME": str(self.folder)})


@contextmanager
def served(*, durable: bool = False) -> Iterator[Server]:
    """Run a server within the context. Skip the test, with the reason, where there is none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'sweep[postgresql]'")
    programs = _programs()
    lender = shutil.which("setpriv") if os.geteuid() == 0 else ""
    if programs is None or lender is None:
        pytest.skip("no PostgreSQL server is installed" if programs is None else "a server cannot run as root")
    # pytest's own folders are closed to other users.
    with TemporaryDirectory(prefix="sweep-postgres-", ignore_cleanup_errors=True) as name:
        folder, prefix = Path(name), []
        if lender:
            os.chown(folder, _NOBODY, _NOBODY)
            prefix = [lender, f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        server = Server(folder, programs, _free_port(), prefix, durable)
        server.run("initdb", "-D", server.data, "-U", "sweep", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop("immediate")


def _programs() -> Path | None:
    """Return the folder of the server's programs: on the path, or where Debian puts them."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = [path for top in _PROGRAMS for path in Path(top).glob("**/bin/initdb")]
    return max(installed).parent if installed else None


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
