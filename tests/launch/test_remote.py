"""How workers on one machine are laid out."""

from __future__ import annotations

import os

import pytest

from sweep.launch.remote import _threads

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
