"""Ray's object store, which holds what travels between processes: shared memory, and files where
that has no room."""

from __future__ import annotations

import errno
import os
from typing import Any

_NAME = "Ray's object store, in /dev/shm and the folder of Ray's files"


def put(value: Any) -> Any:
    """Return a reference to a value that is put there. Raises OSError where there is no room."""
    import ray

    try:
        return ray.put(value)
    except Exception as error:
        raise as_disk_failure(error) from None


def as_disk_failure(error: BaseException) -> BaseException:
    """Return the failure of a disk in place of Ray's error that the store has no room; any other
    error as it is."""
    from ray.exceptions import ObjectStoreFullError, OutOfDiskError

    if isinstance(error, ObjectStoreFullError | OutOfDiskError):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), _NAME)
    return error
