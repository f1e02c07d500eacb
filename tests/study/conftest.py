"""Fixtures of the tests of studies."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from support.studies import Undisturbed, Whole, searched


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return studies that never stopped, by their overrides. Each runs once for all tests."""

    @cache
    def ran(*overrides: str) -> Whole:
        folder: Path = tmp_path_factory.mktemp("whole")
        return Whole(folder, searched(folder, *overrides))

    return ran
