"""Confirmation, retraining, refit and test reading that were stopped anywhere, and go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.finals import assert_same
from support.program import final
from support.program import run as program
from support.tiny import tiny_bert
from sweep.final import finish
from sweep.final.progress import Progress
from sweep.records.store import Store

ROWS = ("dataset.max_train_samples=40", "dataset.max_eval_samples=20", "dataset.max_test_samples=20")
Run = Callable[..., int]


class Killed(BaseException):
    """An exception that no handler catches, like SIGKILL."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def run(model: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a folder and overrides to the program, and get its exit code. Each folder has a cache of
    its own, as the features that a training computes are part of its cost."""

    def give(folder: Path, *more: str) -> int:
        monkeypatch.setenv("SWEEP_CACHE", str(folder / "cache"))
        return program(
            monkeypatch, "+experiment=quickstart", f"model.path={model}", f"run_dir={folder / 'run'}", "tracker=none",
            "study.space=null", "study.n_trials=1", "study.pruner=none", "engine=trainer", "trainer.num_train_epochs=2",
            "trainer.logging_steps=1", "trainer.per_device_train_batch_size=8", "study.snapshot_every=0", *ROWS, *more,
        )  # fmt: skip

    return give


@contextmanager
def killed(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, at: int = 1, *, after: bool = False
) -> Iterator[None]:
    """Kill the process at the `at`-th call of a function, or after it."""
    usual, calls = getattr(place, name), 0

    def call(*given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at and not after:
            raise Killed
        found = usual(*given, **options)
        if calls == at:
            raise Killed
        return found

    with monkeypatch.context() as patched:
        patched.setattr(place, name, call)
        with pytest.raises(Killed):
            yield


# The calls at which the process is killed, one after the other in one run directory.
PLACES: list[tuple[Any, str, int, bool]] = [
    (Progress, "of", 1, True),  # the first repeat has begun
    (Progress, "keep", 3, True),  # in the middle of the first repeat
    (Store, "write_repeat", 1, False),  # its training is over, and has no record
    (Store, "write_repeat", 1, True),
    (Progress, "keep", 4, False),  # in the second repeat
    (Progress, "keep", 4, True),
    (Progress, "add", 13, False),  # the repeat goes on from step 4, the retraining begins
    (Progress, "keep", 2, True),  # in the middle of the retraining
    (finish, "decisions", 1, False),  # it is trained, and has no record
    (Store, "write_retraining", 1, False),
    (Store, "write_retraining", 1, True),
    (Progress, "keep", 5, True),  # in the middle of the refit
    (Store, "note_test_reading", 1, False),
    (finish, "read_test", 1, True),
    (Store, "write_final", 1, False),  # of a new folder, beside the files of the model
    (Progress, "drop", 1, False),
]


def test_kills_at_every_write_change_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("adapter=head", "study.refit=true", "study.confirm_seeds=2", "study.confirm_top=1")
    assert run(tmp_path / "whole", *options) == 0
    for place, name, at, after in PLACES:
        with killed(monkeypatch, place, name, at, after=after):
            pytest.fail(f"{name} was not called {at} times: exit {run(tmp_path / 'killed', *options)}")
    trained: list[int] = []
    monkeypatch.setattr(Progress, "add", lambda _, row: trained.append(row.step))
    assert run(tmp_path / "killed", *options) == 0
    assert trained == []
    assert_same(tmp_path / "killed", tmp_path / "whole")
    # The results of two readings were lost before they were written.
    assert final(tmp_path / "killed").test_readings == 3


def test_ctrl_c_puts_a_retraining_away_and_it_goes_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "whole", "adapter=lora") == 0
    usual = Progress.add

    def add(self: Progress, row: Any) -> bool:
        if row.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return usual(self, row)

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "add", add)
        assert run(tmp_path / "stopped", "adapter=lora") == 130
    said = "stopped while trial 0 was retrained; the same command goes on from here, after step 7 of 10."
    assert said in capsys.readouterr().err
    assert run(tmp_path / "stopped", "adapter=lora") == 0
    assert (
        "final: trial 0 again, from scratch: taken up, with a snapshot after step 7: as configured"
        in capsys.readouterr().err
    )
    assert_same(tmp_path / "stopped", tmp_path / "whole")


def test_without_snapshots_a_retraining_begins_anew_with_each_row_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("adapter=head", "study.snapshots=never")
    assert run(tmp_path / "whole", *options) == 0
    with killed(monkeypatch, Progress, "add", 6):
        run(tmp_path / "killed", *options)
    assert not list((tmp_path / "killed" / "run").glob("snapshots/*"))
    assert run(tmp_path / "killed", *options) == 0
    assert_same(tmp_path / "killed", tmp_path / "whole")
