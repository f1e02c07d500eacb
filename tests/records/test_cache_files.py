from __future__ import annotations

from pathlib import Path

import pytest

from sweep.records.cache_files import find, keep


def test_a_folder_in_the_place_of_a_file_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(file: Path) -> None:
        file.write_text("rows")

    file = keep(tmp_path, "key", ".arrow", write)
    file.unlink()
    (file / "within").mkdir(parents=True)
    assert find(tmp_path, "key", ".arrow") is None
    assert "is damaged, and is made again" in capsys.readouterr().err
    assert keep(tmp_path, "key", ".arrow", write).read_text() == "rows"
