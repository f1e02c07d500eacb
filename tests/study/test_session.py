from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.toys import session
from sweep.errors import UserError
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
