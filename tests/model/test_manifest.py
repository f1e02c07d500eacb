from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweep.errors import UserError
from sweep.model.manifest import FILE, read, write
from sweep.records.migrations import SCHEMA_VERSION

STORED = Path(__file__).parents[1] / "records" / "stored_run" / "run"


@pytest.mark.parametrize(("folder", "method"), [("final/model", "head"), ("methods/lora/model", "lora")])
def test_a_manifest_without_a_version_is_read_and_written_with_one(tmp_path: Path, folder: str, method: str) -> None:
    manifest = read(STORED / folder)
    assert manifest.method == method
    write(manifest, tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["schema_version"] == SCHEMA_VERSION
    assert read(tmp_path) == manifest


def test_a_manifest_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(UserError, match=rf"{FILE}: was written by a newer sweep .*; upgrade sweep"):
        read(tmp_path)
