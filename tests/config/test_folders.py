"""The cache folder, where it cannot be one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from program import CLI
from sweep.config.folders import cache_faults


@pytest.mark.parametrize("name", ["file", "file/below", "link"])
def test_a_file_in_the_way(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / name))
    (fault,) = cache_faults()
    at = tmp_path / name.split("/")[0]
    assert fault.path == "SWEEP_CACHE"
    assert fault.message == f"is {tmp_path / name}, but {at} is no folder; name a folder that can be made or written to"
