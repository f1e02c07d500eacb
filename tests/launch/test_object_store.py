"""A store of Ray that has no room for what travels."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.errors import disk_failure, reported
from sweep.launch.lost import raise_remote
from sweep.launch.object_store import put

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'sweep[ray]'")


@pytest.mark.parametrize("name", ["OutOfDiskError", "ObjectStoreFullError"])
def test_a_full_store_is_a_failure_of_the_disk(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_value: Any) -> Any:
        raise getattr(ray.exceptions, name)("Local disk is full")

    monkeypatch.setattr("ray.put", refuse)
    with pytest.raises(OSError, match="No space left") as found:
        put(b"rows")
    assert (disk_failure(found.value) or "").startswith("Ray's object store, in /dev/shm")


def test_a_store_that_is_full_on_a_worker_names_its_host(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done, reported():
        raise_remote(ray.exceptions.OutOfDiskError("Local disk is full"), "its traceback", "node7")
    said = capsys.readouterr().err
    assert done.value.code == 2 and "files on node7: No space left on device. Make room on that disk." in said
