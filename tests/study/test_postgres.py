"""Studies in a PostgreSQL server that the test starts; skipped where there is no server or no
driver."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.toys import ToyEngine, session
from sweep.errors import UserError
from sweep.records.trial import TrialPlan
from sweep.study.optuna_study import OptunaStudy
from sweep.study.search import search

pytest.importorskip("psycopg")
pytestmark = pytest.mark.slow

BIN = next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None)
PLAIN = ("study.pruner=none", "study.n_trials=3", "study.sampler=random")


class Killed(BaseException):
    """An exception that no handler catches, like SIGKILL."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Return the address of an empty database. A server refuses to run as root, so root starts it
    as another user."""
    lender = shutil.which("setpriv") if os.geteuid() == 0 else ""
    if BIN is None or lender is None:
        pytest.skip("no PostgreSQL here")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # pytest's own folders are closed to other users
        yield from _served(Path(folder), BIN, lender)


def _served(folder: Path, programs: Path, lender: str) -> Iterator[str]:
    as_user = [lender, "--reuid=65534", "--regid=65534", "--clear-groups"] if lender else []
    if lender:
        os.chown(folder, 65534, 65534)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, env={"HOME": str(folder)})

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "sweep", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
    run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://sweep@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "fast", "stop")


def test_a_study_goes_on_after_a_kill(tmp_path: Path, server: str) -> None:
    def kill(trial: TrialPlan, epoch: int) -> None:
        if (trial.number, epoch) == (1, 2):
            raise Killed

    points = {}
    for name, engine in (("whole", ToyEngine()), ("killed", ToyEngine(before=kill))):
        options = (*PLAIN, f"study.storage={server}", f"study.study_name={name}")
        with session(tmp_path / name, *options, engine=engine) as opened:
            if name == "killed":
                with pytest.raises(Killed):
                    search(opened)
        with session(tmp_path / name, *options) as opened:
            points[name] = [record.params for record in search(opened) if record.state == "completed"]
    assert points["whole"] == points["killed"]
    assert len(points["whole"]) == 3


def test_two_run_directories_cannot_share_a_study(tmp_path: Path, server: str) -> None:
    options = (*PLAIN, f"study.storage={server}", "study.study_name=shared")
    with session(tmp_path / "a", *options) as first, session(tmp_path / "b", *options) as second:
        OptunaStudy.open(first.plan.config.study, first.plan.space, first.store).close()
        with pytest.raises(UserError, match="belongs to the run directory .*/a/run"):
            search(second)
        assert len(search(first)) == 3


def test_of_two_run_directories_that_begin_at_once_one_gets_the_study(tmp_path: Path, server: str) -> None:
    """Each is a process of its own, and both start together."""
    program = "\n".join(
        (
            "import sys, time",
            f"sys.path.insert(0, {str(Path(__file__).parent.parent)!r})",
            "from pathlib import Path",
            "from support.toys import session",
            "from sweep.errors import UserError",
            "from sweep.study.optuna_study import OptunaStudy",
            "with session(Path(sys.argv[1]), *sys.argv[3:]) as one:",
            "    time.sleep(max(0.0, float(sys.argv[2]) - time.time()))",
            "    try:",
            "        OptunaStudy.open(one.plan.config.study, one.plan.space, one.store)",
            "    except UserError as error:",
            "        print('refused', error)",
            "    else:",
            "        print('opened')",
        )
    )
    start = str(time.time() + 30)
    options = (*PLAIN, f"study.storage={server}", "study.study_name=race")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / name), start, *options], stdout=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    said = [one.communicate(timeout=300)[0] for one in both]
    assert ["opened" in one for one in said].count(True) == 1
    assert ["refused study.storage" in one for one in said].count(True) == 1
