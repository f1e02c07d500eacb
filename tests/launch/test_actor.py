"""What keeps a worker from training for a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.config.schema import Config
from sweep.launch.actor import Spec, _unlike, python
from sweep.launch.code import code_fingerprint, versions


def test_a_worker_that_cannot_write_its_cache_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Spec(Config(), {}, versions(), code_fingerprint(), {}, python())
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    assert _unlike(spec) == []
    (tmp_path / "cache").write_text("a file")
    (reason,) = _unlike(spec)
    assert reason.startswith(f"SWEEP_CACHE: is {tmp_path}/cache, but {tmp_path}/cache is no folder; name a folder")


def test_code_that_a_worker_cannot_import_is_named() -> None:
    spec = Spec(Config(), {}, versions(), code_fingerprint(), {"of_nobody.gain": "sha256 0"}, python())
    (reason,) = _unlike(spec)
    assert reason.startswith("own code names of_nobody, and there is no such module")
