from __future__ import annotations

import re

import pytest

from sweep.errors import UserError
from sweep.study.storage import check_storage

WAYS = (
    "type sqlite:///FILE, postgresql+psycopg://USER@HOST/DATABASE (pip install 'sweep[postgresql]'), or null for SQLite in the "
    "run directory"
)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("foo://x", "foo"),
        ("postgres://me@host/sweep", "postgres"),
        ("postgresql+none://me@host/sweep", "postgresql+none"),
        ("mongodb://host", "mongodb"),
    ],
)
def test_a_database_of_an_unknown_kind_is_refused_with_the_kinds_that_there_are(address: str, kind: str) -> None:
    rule = f"study.storage: is {address}, but {kind} is no kind of database that SQLAlchemy knows; {WAYS}"
    with pytest.raises(UserError, match=f"^{re.escape(rule)}$"):
        check_storage(address)


def test_a_password_of_such_a_database_is_not_shown() -> None:
    with pytest.raises(UserError) as refused:
        check_storage("foo://me:s3cret-word@host/x")
    assert "s3cret-word" not in str(refused.value) and "but foo is no kind" in str(refused.value)


def test_a_driver_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserError, match=r"cannot be used: No module named 'oracledb'\. Install its driver$"):
        check_storage("oracle://host/x")


def test_a_folder_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match="cannot be used: there is no folder /no/such/place$"):
        check_storage("sqlite:////no/such/place/x.db")
