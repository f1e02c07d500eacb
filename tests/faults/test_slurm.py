"""The batch file for Slurm on a real Slurm of four fake nodes: workers are cancelled, requeued and
preempted, and the coordinator is requeued."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from faults.conftest import Whole
from support.faults.invariants import broken
from support.faults.slurm import Slurm, missing, slurm
from support.faults.study import Study

pytest.importorskip("ray", reason="Ray is not installed: pip install 'sweep[ray]'")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
BATCH = ROOT / "deploy" / "slurm.sbatch"
LONGEST = 900.0  # seconds until something has to have happened

# Each fake node has an address of its own. One thread, as in the run that this is compared with.
SETUP = """
export PATH={bin}:$PATH OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 WANDB_MODE=offline SWEEP_CACHE={folder}/cache
export HOME={folder}  # the token of Ray is made there
NODE_ADDRESS=127.0.0.$((40 + ${{SLURMD_NODENAME#n}}))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    if absent := missing():
        pytest.skip(f"Slurm is not installed: {', '.join(absent)} missing")
    with TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as folder, slurm(Path(folder)) as found:
        yield found


class Job:
    """A study that was submitted, and its workers."""

    def __init__(self, cluster: Slurm, folder: Path, arguments: list[str]) -> None:
        setup = folder / "setup.sh"
        setup.write_text(SETUP.format(bin=ROOT / ".venv" / "bin", folder=folder))
        output = cluster.run(
            "sbatch", str(BATCH), *arguments, cwd=folder, WORKERS="3", SETUP=str(setup), FILE=str(BATCH),
            WORKER_OPTIONS="--cpus-per-task=1 --mem=1G",
        )  # fmt: skip
        self.cluster, self.folder = cluster, folder
        self.id = re.findall(r"\d+", output)[-1]

    def workers(self) -> list[str]:
        """Return the ids of the workers that run."""
        jobs = self.cluster.jobs(f"sweep-worker-{self.id}")
        return [one for one, state in jobs.items() if state == "RUNNING"]

    def rows(self) -> int:
        """Return the number of rows that trials have logged."""
        return sum(path.read_bytes().count(b"\n") for path in self.folder.glob("run/trials/*/events.jsonl"))

    def ended(self) -> bool:
        return self.id not in self.cluster.jobs("sweep")

    def said(self) -> str:
        """Return the output of all jobs."""
        return "\n".join(
            f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in self.folder.glob("*.log")
        )

    def until(self, reached: Callable[[], object]) -> None:
        """Wait until something has been reached."""
        began = time.monotonic()
        while not reached():
            assert time.monotonic() - began < LONGEST, self.said()
            time.sleep(0.2)


@pytest.fixture
def job(cluster: Slurm, tmp_path: Path, model: Path) -> Job:
    return Job(cluster, tmp_path, STUDY.arguments(model, tmp_path))


STUDY = Study(epochs=60, more=("tracker=none",))


def test_workers_are_cancelled_requeued_and_told_to_end(job: Job, whole: Whole) -> None:
    """Two of the three workers leave for good, and one comes back."""
    job.until(lambda: job.workers() and job.rows())
    job.cluster.run("scancel", job.workers()[0])
    rows = job.rows()
    job.until(lambda: job.ended() or job.rows() > rows)
    if workers := job.workers():
        job.cluster.run("scontrol", "requeue", workers[0])
    rows = job.rows()
    job.until(lambda: job.ended() or job.rows() > rows)
    if workers := job.workers():
        job.cluster.run("scancel", "--batch", "--signal=TERM", workers[0])
    job.until(job.ended)
    assert broken(whole(STUDY), job.folder / "run") == [], job.said()
    job.until(lambda: not job.workers())


def test_a_coordinator_that_is_told_to_end_is_requeued_and_goes_on(job: Job, whole: Whole) -> None:
    job.until(lambda: job.rows() > 5)
    job.cluster.run("scancel", "--batch", "--signal=TERM", job.id)
    job.until(lambda: "stopped;" in job.said())
    job.until(job.ended)
    assert broken(whole(STUDY), job.folder / "run") == [], job.said()
