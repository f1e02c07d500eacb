"""Real streams of a process whose reader has gone, whose disk is full, or that were closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MESSAGE = "import sys\nfrom sweep.errors import UserError, reported\n"
FULL = Path("/dev/full")


def run(program: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", MESSAGE + program], check=False, env=env, **streams)


@pytest.fixture
def unread() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_standard_error_that_nobody_reads_stops_nothing(unread: int) -> None:
    program = (
        "from rich.console import Console\n"
        "with reported():\n"
        "    console = Console(file=sys.stderr)\n"
        "    for _ in range(1000): console.print('text'); print('more', file=sys.stderr)\n"
        "    print('done')"
    )
    done = run(program, stderr=unread, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_a_full_disk_below_standard_error_stops_nothing_and_keeps_the_exit_code() -> None:
    with FULL.open("wb") as full:
        done = run("with reported():\n    print('text' * 10000, file=sys.stderr)\n    print('done')",
                   stderr=full, stdout=subprocess.PIPE)  # fmt: skip
        assert (done.returncode, done.stdout) == (0, b"done\n")
        assert run("with reported():\n    raise UserError.of('key', 'is wrong')", stderr=full).returncode == 2


@pytest.mark.parametrize("text", ["'text'", "'text' * 100_000"])  # in the buffer at the end, and written before
def test_a_full_disk_below_standard_output_is_one_message(text: str) -> None:
    with FULL.open("wb") as full:
        done = run(f"with reported():\n    print({text})", stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1
        assert done.stderr.startswith(b"sweep: output could not be written: No space left on device. ")
        done = run("with reported():\n    print('text')\n    raise UserError.of('key', 'is wrong')", stdout=full,
                   stderr=subprocess.PIPE)  # fmt: skip
        assert (done.returncode, done.stderr) == (2, b"sweep: 1 thing to mend:\n  - key: is wrong\n")


def test_output_within_a_search_is_dropped_and_counts_at_its_end(unread: int) -> None:
    program = (
        "from sweep.outputs import lasting\n"
        "with reported():\n"
        "    with lasting('stdout'):\n"
        "        for _ in range(1000): print('of the user')\n"
        "    print('all was trained', file=sys.stderr)\n"
        "    print('summary')"
    )
    done = run(program, stdout=unread, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"all was trained\n")
    done = run(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (0, [b"of the user", b"summary"])


def test_no_file_takes_the_place_of_a_stream_that_was_closed(tmp_path: Path) -> None:
    program = (
        "import os, subprocess\n"
        "with reported():\n"
        f"    with open({str(tmp_path / 'data')!r}, 'w') as file:\n"
        "        print('text', file=sys.stderr); print('text'); os.write(2, b'text')\n"
        "        subprocess.run(['echo', 'text'])\n"
        "        file.write('rows')"
    )
    command = [sys.executable, "-c", MESSAGE + program]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], check=False)
    assert done.returncode == 0 and (tmp_path / "data").read_text() == "rows"
