"""Errors of workers, raised on the coordinator."""

from __future__ import annotations

import pytest

from sweep.errors import UserError, out_of_memory
from sweep.launch.lost import RemoteTraceback, raise_remote, why_it_died


def test_each_error_names_the_host() -> None:
    with pytest.raises(UserError, match="a.key: is wrong, on the worker on one"):
        raise_remote(UserError.of("a.key", "is wrong"), "", "one")
    with pytest.raises(MemoryError, match="DefaultCPUAllocator: can't allocate memory, on the worker on one") as raised:
        raise_remote(RuntimeError("DefaultCPUAllocator: can't allocate memory\nand more"), "", "one")
    assert out_of_memory(raised.value)
    with pytest.raises(ZeroDivisionError) as other:
        raise_remote(ZeroDivisionError("a bug"), "Traceback of it", "one")
    assert isinstance(other.value.__cause__, RemoteTraceback)
    assert "on the worker on one:\nTraceback of it" in str(other.value.__cause__)


def test_a_worker_that_lacks_a_package_is_told_with_what_to_do() -> None:
    error = RuntimeError(
        "The actor died because of an error raised in its creation task\nModuleNotFoundError: No module named 'x'"
    )
    assert (
        why_it_died(error)
        == "its process ended: ModuleNotFoundError: No module named 'x'; install there what is missing"
    )
    assert why_it_died(RuntimeError("OSError: full")) == "its process ended: OSError: full"
