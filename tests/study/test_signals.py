"""Real signals to a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.tiny import tiny_bert
from sweep.errors import STOPPED_AT_ONCE
from sweep.records.store import Store
from sweep.track.arrivals import Expected, compare
from sweep.track.tracker import JobType
from wandb_mock import MockServer
from wandb_mock.backend import Backend
from wandb_mock.faults import Fault

pytestmark = pytest.mark.slow


AT_ONCE = {"trainer": 1, "packed": 2}  # of two trials


def arguments(folder: Path, engine: str) -> list[str]:
    return [
        "+experiment=quickstart", f"model.path={folder / 'bert'}", f"run_dir={folder / 'run'}", "study.n_trials=2",
        "study.space=null", "study.pruner=none", "trainer.num_train_epochs=6", "tracker=mock", f"engine={engine}",
    ]  # fmt: skip


def start(folder: Path, engine: str, *more: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sweep", *arguments(folder, engine), *more]
    env = {**os.environ, **environment}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def evaluated(folder: Path, number: int) -> bool:
    events = folder / "run" / "trials" / f"{number:04d}" / "events.jsonl"
    return events.exists() and "eval/accuracy" in events.read_text()


@pytest.fixture(params=AT_ONCE)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def running(tmp_path: Path, engine: str) -> Iterator[subprocess.Popen[str]]:
    tiny_bert(tmp_path / "bert")
    process = start(tmp_path, engine)
    while not all(evaluated(tmp_path, number) for number in range(AT_ONCE[engine])):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    yield process
    process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_finishes_the_step_and_says_how_to_go_on(
    tmp_path: Path, running: subprocess.Popen[str], engine: str, number: int
) -> None:
    running.send_signal(number)
    said, message = running.communicate(timeout=60)
    assert running.returncode == 130, message
    assert "The same command goes on from here" in message
    assert "Traceback" not in message
    assert "WANDB offline" not in said, "what transformers prints is no result"
    assert f"{AT_ONCE[engine]} trial{'s are' if AT_ONCE[engine] > 1 else ' is'} put away" in message
    store = Store(tmp_path / "run")
    assert store.trials() == [] and not list(store.root.glob("trials/*/running"))


def test_output_that_nobody_reads_costs_no_trial(tmp_path: Path, running: subprocess.Popen[str], engine: str) -> None:
    assert running.stderr is not None and running.stdout is not None
    running.stderr.close()
    running.stdout.close()
    assert running.wait(timeout=120) == 141, "nothing reads the summary"
    store = Store(tmp_path / "run")
    assert [trial.state for trial in store.trials()] == ["completed"] * 2 and store.final() is not None


def test_a_killed_process_leaves_its_rows_and_the_next_one_goes_on(
    tmp_path: Path, running: subprocess.Popen[str], engine: str
) -> None:
    running.kill()
    running.communicate()
    rows = [Store(tmp_path / "run").events(number) for number in range(AT_ONCE[engine])]
    assert all(rows)
    again = start(tmp_path, engine)
    _, message = again.communicate(timeout=300)
    assert again.returncode == 0, message
    store = Store(tmp_path / "run")
    assert [trial.state for trial in store.trials()] == ["completed"] * 2
    for number, before in enumerate(rows):
        after = store.events(number)
        assert after[: len(before)] == before
        assert len({(type(row), row.step) for row in after}) == len(after)


@pytest.mark.parametrize("job", ["trial", "confirm", "final", "refit"])
def test_a_kill_between_a_record_and_the_end_of_its_run_leaves_no_run_without_one(tmp_path: Path, job: str) -> None:
    tiny_bert(tmp_path / "bert")
    script = tmp_path / "program.py"
    script.write_text(
        "import os, signal\n"
        "from sweep.__main__ import main\n"
        "from sweep.track.wandb_run import WandbRun\n"
        "end = WandbRun.start_to_end\n"
        "def killed(self, ending):\n"
        f"    if self.job_type == {job!r}:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return end(self, ending)\n"
        "WandbRun.start_to_end = killed\n"
        "main()\n"
    )
    more = ("study.n_trials=1", "trainer.num_train_epochs=1", "study.confirm_seeds=2", "study.refit=true",
            "dataset.max_train_samples=32", "dataset.max_eval_samples=28", "dataset.max_test_samples=28")  # fmt: skip
    first = subprocess.run([sys.executable, str(script), *arguments(tmp_path, "trainer"), *more], timeout=200)
    assert first.returncode == -signal.SIGKILL
    _, message = (again := start(tmp_path, "trainer", *more)).communicate(timeout=200)
    assert again.returncode == 0, message
    store, backend = Store(tmp_path / "run"), Backend.open(tmp_path / "run" / "wandb-mock")
    expected = Expected({}, frozenset((kind, 0) for kind in JobType))
    assert compare(store, "quickstart", expected).missing == ()
    ended = Counter(run.job_type for run in backend.runs.values() if run.ended)
    assert ended == {"trial": 1, "confirm": 2, "final": 1, "refit": 1, "study": 1}
    assert not list(store.root.glob(".open_runs/*"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MockServer]:
    with MockServer(tmp_path / "elsewhere") as running:
        yield running


@pytest.mark.parametrize("signals", [1, 2])
def test_a_server_that_hangs_keeps_no_stop_waiting(tmp_path: Path, server: MockServer, signals: int) -> None:
    """The client would wait 600 s for each of two runs."""
    tiny_bert(tmp_path / "bert")
    process = start(
        tmp_path, "packed", "tracker=wandb", "tracker.mode=online", "tracker.finish_timeout=600", "tracker.max_wait=600",
        WANDB_BASE_URL=server.url, WANDB_API_KEY=server.api_key,
    )  # fmt: skip
    try:
        while not all(evaluated(tmp_path, number) for number in (0, 1)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        server.faults.add(Fault.late(600, times=10**6))
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            time.sleep(1)
        _, message = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, message
    assert "Traceback" not in message and ("stopped at once" in message) == (signals == 2)
    assert "did not take all of quickstart-0000" in message
    assert Store(tmp_path / "run").trials() == []


def test_a_second_signal_just_after_a_run_was_started_waits_for_no_server(tmp_path: Path, server: MockServer) -> None:
    """At its end the client would wait for a run that the study never got to know. The server
    hangs from then on."""
    tiny_bert(tmp_path / "bert")
    script, started = tmp_path / "program.py", tmp_path / "started"
    script.write_text(
        "import os, signal, time, wandb\n"
        "from pathlib import Path\n"
        "from sweep.__main__ import main\n"
        "init = wandb.init\n"
        "def stopped(**options):\n"
        "    init(**options)\n"
        f"    Path({str(started)!r}).touch()\n"
        f"    while Path({str(started)!r}).exists():\n"
        "        time.sleep(0.01)\n"
        "    for _ in range(2):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "wandb.init = stopped\n"
        "main()\n"
    )
    command = [sys.executable, str(script), *arguments(tmp_path, "trainer"), "tracker=wandb", "tracker.mode=online",
               "tracker.finish_timeout=600"]  # fmt: skip
    env = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.api_key, "WANDB_MODE": "online"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    try:
        while not started.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        server.faults.add(Fault.late(600, times=10**6))
        started.unlink()
        _, message = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, message
    assert message.endswith(f"{STOPPED_AT_ONCE}\n") and "Traceback" not in message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("imported", ["hydra", "torch", "transformers", "sweep.study.search"])
def test_a_signal_during_the_imports_is_one_line(tmp_path: Path, number: int, imported: str) -> None:
    """Sent by the import itself, from a finder that finds nothing."""
    script = tmp_path / "program.py"
    script.write_text(
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {imported!r}:\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from sweep.__main__ import main\n"
        "main()\n"
    )
    tiny_bert(tmp_path / "bert")
    command = [sys.executable, str(script), "+experiment=quickstart", f"model.path={tmp_path / 'bert'}", "tracker=none",
               f"run_dir={tmp_path / 'run'}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert done.stderr == f"{STOPPED_AT_ONCE}\n"
    assert not (tmp_path / "run").exists()
