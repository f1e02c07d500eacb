"""Fixtures of the tests of studies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.program import known_git_state
from support.studies import Undisturbed, Whole, searched


@pytest.fixture(scope="session", autouse=True)
def git_asked_once() -> Iterator[None]:
    """Ask git once for the state of the checkout, which each lock file names."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sweep.study.session.git_state", known_git_state)
        yield


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return studies that never stopped, by their overrides. Each runs once for all tests."""

    @cache
    def ran(*overrides: str) -> Whole:
        folder: Path = tmp_path_factory.mktemp("whole")
        return Whole(folder, searched(folder, *overrides))

    return ran
