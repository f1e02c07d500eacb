"""The batch file for Slurm, with stand-ins for the programs that it calls; `test_slurm` runs it on
a real Slurm."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

BATCH = Path(__file__).parents[2] / "deploy" / "slurm.sbatch"
GUIDE = Path(__file__).parents[2] / "docs" / "scaling.md"

# Each writes down how it was called. Ray's head stays; the search ends with 130 when it is told to.
STUB = '#!/bin/bash\necho "$(basename "$0") $*" >> "{calls}"\n{rest}\n'
REST = {
    "ray": '[[ "$*" == *--head* ]] && exec sleep 60\nexit 0',
    "python": 'trap "exit 130" TERM\nfor _ in $(seq 600); do [[ -e "{folder}/done" ]] && exit 0; sleep 0.05; done',
    "sbatch": "", "scancel": "", "scontrol": "",
}  # fmt: skip


class Job:
    """The batch file as it runs in a job."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder, self.calls = folder, folder / "calls"
        for name, rest in REST.items():
            stub = folder / "bin" / name
            stub.parent.mkdir(exist_ok=True)
            stub.write_text(STUB.format(calls=self.calls, rest=rest.format(folder=folder)))
            stub.chmod(0o755)
        (folder / "setup.sh").write_text("NODE_ADDRESS=10.0.0.7\n")
        own = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "SETUP": str(folder / "setup.sh"),
            "SLURM_JOB_ID": "17", "SLURM_SUBMIT_DIR": str(folder), "SLURM_CPUS_PER_TASK": "8", **environment,
        }  # fmt: skip
        self.process = subprocess.Popen(["bash", str(BATCH), *arguments], env=own, start_new_session=True)

    def called(self, beginning: str) -> list[str]:
        """Return the calls with this beginning."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if line.startswith(beginning)]

    def until_called(self, beginning: str) -> str:
        for _ in range(600):
            if found := self.called(beginning):
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"{beginning} was not called: {self.calls.read_text()}")

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Job]:
    job = Job(tmp_path, "+experiment=quickstart", "study.n_trials=9", WORKERS="3", WORKER_OPTIONS="--gres=gpu:2")
    yield job
    job.end()


def test_the_coordinator_starts_a_head_workers_and_the_search(coordinator: Job) -> None:
    search = coordinator.until_called("python")
    assert "-m sweep launcher=ray launcher.address=10.0.0.7:20017" in search
    assert search.endswith("+experiment=quickstart study.n_trials=9")
    head = coordinator.until_called("ray start --head")
    assert "--num-cpus=0 --num-gpus=0" in head and "--node-ip-address=10.0.0.7" in head
    workers = coordinator.until_called("sbatch")
    assert "--array=1-3" in workers and "SWEEP_HEAD=10.0.0.7:20017 --gres=gpu:2" in workers
    (coordinator.folder / "done").touch()
    assert coordinator.process.wait(30) == 0
    assert len(coordinator.called("scancel")) == 2  # of an earlier run of the job, and of this one
    assert not coordinator.called("scontrol")


def test_a_coordinator_that_is_told_to_end_goes_into_the_queue_again(coordinator: Job) -> None:
    coordinator.until_called("python")
    os.kill(coordinator.process.pid, signal.SIGTERM)
    assert coordinator.process.wait(30) == 130
    assert coordinator.called("scontrol") == ["scontrol requeue 17"]


def test_a_worker_joins_the_head_with_the_cores_of_its_job(tmp_path: Path) -> None:
    job = Job(tmp_path, SWEEP_HEAD="10.0.0.1:20117")
    assert job.process.wait(30) == 0
    (call,) = job.called("")
    assert call.startswith("ray start --address=10.0.0.1:20117 --block") and "--num-cpus=8" in call


@pytest.mark.parametrize("name", ["WORKERS", "WORKER_OPTIONS", "SETUP"])
def test_the_guide_names_each_variable_with_its_default(name: str) -> None:
    default = next(line for line in BATCH.read_text().splitlines() if line.startswith(f"{name}=${{{name}:-"))
    value = default.partition(":-")[2].partition("}")[0]
    assert f"| `{name}` | {value if value.isdigit() else f'`{value}`'} |" in GUIDE.read_text()
