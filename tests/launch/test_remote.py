"""How workers on one machine are laid out."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.small_files import small_files
from sweep.engine.host_memory import Limit
from sweep.errors import UserError
from sweep.launch.ray_cluster import _without_secrets, check_disk, check_file_size, check_room
from sweep.launch.remote import _threads, crowded

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("5,2", 5), ("", CORES), ("0", CORES), ("many", CORES)])
def test_a_worker_has_the_threads_that_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, said: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert _threads(1) == threads


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [_threads(workers) for workers in (0, 2, 1000)] == [CORES, max(1, CORES // 2), 1]


def test_workers_with_more_threads_than_cores_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: range(4))
    assert crowded(2, 2) == crowded(4, 1) == ""
    assert (
        crowded(8, 1) == "8 workers of 1 thread each share 4 cores, which makes trials slower; use launcher.workers=4"
    )
    assert crowded(2, 3).endswith("use OMP_NUM_THREADS=2")


def test_more_workers_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Limit(6 * 2**30, 0, "this machine has")
    monkeypatch.setattr("sweep.engine.host_memory._machine", lambda: machine)
    monkeypatch.setattr("sweep.engine.host_memory._of_cgroups", lambda *_: ())
    check_room(10)
    rule = "is 1000, but a worker takes 600 MiB .* each of the 1000 workers on its host has 6 MiB; use at most 10"
    with pytest.raises(UserError, match=rule):
        check_room(1000)


def test_a_limit_of_file_sizes_that_ray_cannot_live_with_is_told() -> None:
    check_file_size()
    rule = r"launcher: is local, but ulimit -f allows files of 4 KiB, .* 512,000 KiB; raise the limit, or"
    with small_files(), pytest.raises(UserError, match=rule):
        check_file_size()


def test_a_full_disk_of_temporary_files_is_told_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_disk(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=3 * 2**20))
    rule = f"launcher: is local, but .* temporary files in {tmp_path.parent}: .* 16 MiB or more, and 3 MiB are free; make room"
    with pytest.raises(UserError, match=rule):
        check_disk(tmp_path)


def test_a_token_of_ray_in_the_environment_reaches_ray_and_other_secrets_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("RAY_AUTH_TOKEN", "HF_TOKEN", "WANDB_API_KEY")
    for name in names:
        monkeypatch.setenv(name, "a-secret")
    with _without_secrets():
        assert [name for name in names if name in os.environ] == [*names[:2]]
    assert all(name in os.environ for name in names)
