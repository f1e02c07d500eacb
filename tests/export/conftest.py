"""Fixtures of the export tests: tiny models as directories, and ways to train them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import tiny


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny.all_models(tmp_path_factory.mktemp("models"))
