"""A run directory of version 0.1.0, whose records have no `schema_version`, in `stored_run/`.

Four trials of a random model with one layer, two values compared, fresh seeds and a refit.
`study.sql` is a dump of the study's database.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from support.program import run
from support.toys import ToyEngine
from sweep.errors import UserError
from sweep.plan.plan import make_plan
from sweep.records.lock import Lock
from sweep.records.migrations import SCHEMA_VERSION
from sweep.records.store import Store, refit_dir
from sweep.study import session
from sweep.study.search import search
from sweep.study.session import Session, opened

STORED = Path(__file__).parent / "stored_run"


@pytest.fixture
def stored(tmp_path: Path) -> Store:
    shutil.copytree(STORED / "run", tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "study.db")) as database:
        database.executescript((STORED / "study.sql").read_text())
    return Store(tmp_path / "run")


def locked(store: Store) -> Lock:
    lock = store.lock()
    assert lock is not None
    return lock


def arguments(store: Store, trials: int) -> list[str]:
    return [
        "+experiment=quickstart", "tracker=none", f"run_dir={store.root}", 'model.path=""', "model.init=random",
        "model.config=minilm", "model.shrink={layers: 1, width: 16, heads: 2, vocabulary: 300}", "model.pooling=mean",
        f"study.n_trials={trials}", f"study.space={STORED / 'space.yaml'}", "study.compare_by=adapter",
        "study.confirm_seeds=2", "study.confirm_top=1", "study.refit=true", "dataset.max_train_samples=56",
        "dataset.max_eval_samples=28", "dataset.max_test_samples=28", "trainer.num_train_epochs=2",
    ]  # fmt: skip


def test_no_stored_record_has_a_version() -> None:
    records = list(STORED.rglob("record.json"))
    assert len(records) == 8
    assert not any("schema_version" in json.loads(path.read_text()) for path in [*records, STORED / "run/lock.json"])


def test_every_record_is_read(stored: Store) -> None:
    assert [(record.number, record.state) for record in stored.trials()] == [(n, "completed") for n in range(4)]
    assert {record.params["adapter"] for record in stored.trials()} == {"lora", "head"}
    assert all(len(stored.events(number)) == 7 for number in range(4))
    winner = stored.final()
    assert winner is not None and winner.number == 3
    assert winner.test["test/accuracy"] == pytest.approx(1 / 28)
    assert winner.confirmation is not None and winner.refit is not None and winner.refit.rows == 84
    assert {folder.name: record.number for folder, record in stored.finals().items()} == {"final": 3, "lora": 0}
    assert len(stored.final_events(refit_dir(stored.final_dir))) == 1
    assert all(stored.repeat(number, index) for number in (0, 3) for index in (1, 2))
    assert all(stored.retraining(number) for number in (0, 3))
    assert stored.test_readings() == 1
    lock = locked(stored)
    assert (lock.config.adapter.method, lock.config.study.compare_by, lock.data.rows["train"]) == (
        "lora",
        "adapter",
        56,
    )


def test_a_report_is_written(
    stored: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "report", str(stored.root)) == 0, capsys.readouterr().err
    report = (stored.root / "report.md").read_text()
    assert "0.0357" in report and "lora" in report and (stored.root / "report.html").exists()


def test_the_study_goes_on(stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored.trials()
    known = locked(stored)
    make_lock = session.new_lock
    # The fingerprint of a random model depends on the version of transformers.
    monkeypatch.setattr(session, "new_lock", lambda *given: replace(make_lock(*given), model=known.model))
    engine = ToyEngine()
    monkeypatch.setattr(Session, "engine", lambda *_: engine)
    with opened(make_plan(arguments(stored, trials=6)).settled(bf16=False)) as resumed:
        records = search(resumed)
    assert [trial.number for trial in engine.trained] == [4, 5]
    assert records[:4] == before and [record.state for record in records[4:]] == ["completed"] * 2
    written = json.loads((stored.root / "lock.json").read_text())
    assert (written["schema_version"], written["experiment"]) == (SCHEMA_VERSION, known.experiment)


def test_a_run_directory_of_a_newer_version_is_refused(
    stored: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = stored.root / "lock.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": SCHEMA_VERSION + 1}))
    assert run(monkeypatch, "report", str(stored.root)) == 2
    output = capsys.readouterr().err
    assert f"lock.json: was written by sweep 0.1.0 (records of version {SCHEMA_VERSION + 1})" in output
    assert "upgrade sweep, or name a new run_dir" in output and "Traceback" not in output
    with pytest.raises(UserError, match="upgrade sweep"), opened(make_plan(arguments(stored, trials=6))):
        pass
    assert json.loads(path.read_text())["schema_version"] == SCHEMA_VERSION + 1
