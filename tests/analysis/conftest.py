"""The run directories that the tests of reports use too."""

from __future__ import annotations

from report.conftest import make, reported, store

__all__ = ["make", "reported", "store"]
