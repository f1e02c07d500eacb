"""Real streams of a process whose reader has gone, whose disk is full, or that were closed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
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


def test_a_letter_that_the_terminal_lacks_is_written_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = run("with reported():\n    print('\u00e9\u2026')", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"\xe9\\u2026\n")


def test_a_reader_that_is_slow_gets_all_of_a_stream_that_does_not_wait() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    program = "with reported():\n    for number in range(20_000): print('line', number, file=sys.stderr)"
    with subprocess.Popen([sys.executable, "-c", MESSAGE + program], stderr=writing) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            time.sleep(0.2)  # the pipe is full, or about to be
            assert pipe.read().splitlines() == [b"line %d" % number for number in range(20_000)]
    assert process.returncode == 0


def test_a_stream_that_nobody_reads_is_waited_for_once() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    program = "with reported():\n    for _ in range(20_000): print('text' * 10, file=sys.stderr)\n    print('done')"
    done = run(program, stderr=writing, stdout=subprocess.PIPE, timeout=60)
    os.close(reading)
    os.close(writing)
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
        assert done.stderr.startswith(
            b"sweep: standard output, or a file of a library, could not be written: No space left on device. "
        )
        done = run("with reported():\n    print('text')\n    raise UserError.of('key', 'is wrong')", stdout=full,
                   stderr=subprocess.PIPE)  # fmt: skip
        assert (done.returncode, done.stderr) == (2, b"sweep: 1 thing to mend:\n  - key: is wrong\n")


def test_output_within_a_search_is_dropped_and_counts_at_its_end(unread: int) -> None:
    program = (
        "from sweep.outputs import dropping_unwritable\n"
        "with reported():\n"
        "    with dropping_unwritable('stdout'):\n"
        "        for _ in range(1000): print('of the user')\n"
        "    print('all was trained', file=sys.stderr)\n"
        "    print('summary')"
    )
    done = run(program, stdout=unread, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"all was trained\n")
    done = run(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (0, [b"of the user", b"summary"])


def test_what_libraries_print_as_they_are_imported_is_no_result() -> None:
    program = "from sweep.outputs import importing\nwith importing(): print('of a library')\nprint('result')"
    done = run(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.stdout, done.stderr) == (b"result\n", b"of a library\n")


@pytest.mark.slow
def test_the_line_that_transformers_prints_where_wandb_is_offline_is_no_result() -> None:
    program = "from sweep.outputs import importing\nwith importing(): import transformers.trainer\nprint('result')"
    assert run(program, stdout=subprocess.PIPE).stdout == b"result\n"


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
