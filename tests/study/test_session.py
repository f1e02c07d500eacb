from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from support.toys import ToyEngine, session
from sweep.errors import Interrupted, UserError
from sweep.records.recovery import recover
from sweep.study.search import search
from sweep.study.session import _resumed_lock, new_lock


@pytest.mark.parametrize("damage", ["", '{"exper', "[]"])
def test_a_damaged_lock_is_made_again_where_the_storage_knows_the_experiment(tmp_path: Path, damage: str) -> None:
    with session(tmp_path, "study.n_trials=1", "study.pruner=none") as opened:
        store, lock = opened.store, new_lock(opened.plan, "cpu")
        store.write_lock(lock)
        search(opened)
    (store.root / "lock.json").write_text(damage)
    assert "lock.json is damaged" in recover(store)[0]
    assert _resumed_lock(store, lock) is None
    with pytest.raises(UserError, match="no lock.json"):
        _resumed_lock(store, replace(lock, experiment="another"))
    (store.root / "study.db").unlink()
    with pytest.raises(UserError, match="no lock.json"):
        _resumed_lock(store, lock)
    assert not (store.root / "study.db").exists()


def test_another_experiment_is_refused_although_no_trial_has_ended(tmp_path: Path) -> None:
    """The study was stopped in its first trial, and is not taken for one that begins."""
    options = ("study.n_trials=1", "study.pruner=none")
    interrupting = ToyEngine(lambda _trial, _epoch: os.kill(os.getpid(), signal.SIGINT))
    with session(tmp_path, *options, engine=interrupting) as opened, pytest.raises(Interrupted):
        store, lock = opened.store, new_lock(opened.plan, "cpu")
        store.write_lock(lock)
        search(opened)
    assert store.trials() == [] and _resumed_lock(store, lock) == lock
    with session(tmp_path, *options, "trainer.max_grad_norm=2") as changed:
        other = new_lock(changed.plan, "cpu")
    with pytest.raises(UserError, match=r"trainer\.max_grad_norm: was 1\.0 when this study began, and is 2\.0 now"):
        _resumed_lock(store, other)
    (store.root / "study.db").unlink()
    assert _resumed_lock(store, other) is None, "without its storage nothing is left of the study"
