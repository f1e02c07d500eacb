"""The version of the records, and how records of other versions are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.records.cost import Cost
from sweep.records.final import Repeat
from sweep.records.migrations import SCHEMA_VERSION, SchemaVersionError, migrated, stamped, version_of
from sweep.records.recovery import recover
from sweep.records.store import Store
from sweep.records.trial import Completed, EvalPoint, TrialRecord

POINT = EvalPoint(1, 10, 1.0, {"eval/accuracy": 0.5, "eval/loss": 0.7})
RECORD = TrialRecord(3, {}, Completed(POINT, (POINT,), Cost()), "", 10, "a", "b")


def rewrite(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_record_is_written_with_the_present_version(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_trial(RECORD)
    store.write_repeat(Repeat(3, 17, POINT, Cost()), 1)
    for path in (store.trial_dir(3) / "record.json", store.repeat_path(3, 1)):
        assert next(iter(json.loads(path.read_text()).items())) == ("schema_version", SCHEMA_VERSION)


def test_a_record_without_a_version_has_version_0() -> None:
    assert version_of({}) == 0
    assert version_of(stamped({})) == SCHEMA_VERSION


def test_a_record_of_each_older_version_is_migrated() -> None:
    for version in range(SCHEMA_VERSION + 1):
        assert migrated({"schema_version": version, "number": 3}) == {"number": 3}


def test_adapter_keys_that_say_nothing_are_dropped_from_version_0() -> None:
    adapter = {"method": "ia3", "r": None, "use_rslora": False, "double_quantization": True, "head_init": "random"}
    old = {"experiment": "x", "config": {"title": "t", "adapter": adapter}}
    kept = {"method": "ia3", "double_quantization": True, "head_init": "random"}
    assert migrated(old) == {"experiment": "x", "config": {"title": "t", "adapter": kept}}
    assert migrated(stamped(old)) == old


def test_the_port_of_the_mock_server_is_kept_from_version_0_for_it_alone() -> None:
    other, mock = (
        {"name": "csv", "port": 0},
        {"name": "mock", "port": 8080, "also": {"csv": {"name": "csv", "port": 0}}},
    )
    for tracker, kept in ((other, {"name": "csv"}), (mock, {**mock, "also": {"csv": {"name": "csv"}}})):
        assert migrated({"config": {"tracker": tracker}}) == {"config": {"tracker": kept}}
        assert migrated(stamped({"config": {"tracker": tracker}})) == {"config": {"tracker": tracker}}


def test_a_trial_of_version_0_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_trial(RECORD)
    path = store.trial_dir(3) / "record.json"
    values = json.loads(path.read_text())
    del values["schema_version"]
    path.write_text(json.dumps(values))
    assert store.trials() == [RECORD]


def test_a_record_of_a_newer_version_is_refused_and_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_trial(RECORD)
    path = store.trial_dir(3) / "record.json"
    rewrite(path, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(
        UserError, match=rf"record.json: was written by a newer sweep \(.*version {SCHEMA_VERSION + 1}\).*run_dir"
    ):
        store.trials()
    path.write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1, "a new key": 3}))
    assert recover(store) == [] and path.exists()


def test_the_program_that_wrote_a_newer_lock_is_named() -> None:
    newer = {"schema_version": SCHEMA_VERSION + 1, "versions": {"sweep": "9.1"}}
    with pytest.raises(SchemaVersionError, match=r"was written by sweep 9\.1 .*; upgrade sweep"):
        migrated(newer)


@pytest.mark.parametrize("version", ["1", True, -1, 1.5, None])
def test_a_version_that_is_no_whole_number_is_damage(tmp_path: Path, version: object) -> None:
    store = Store(tmp_path)
    store.write_trial(RECORD)
    rewrite(store.trial_dir(3) / "record.json", schema_version=version)
    with pytest.raises(UserError, match="cannot be read: schema_version is"):
        store.trials()
    assert len(recover(store)) == 1 and store.trials() == []
