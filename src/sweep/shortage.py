"""Memory that has run out, in the many ways in which libraries say so."""

from __future__ import annotations

import errno

_SAID = (
    "can't allocate memory", "cannot allocate memory", "out of memory", "not enough memory", "unable to mmap", "bad_alloc",
    "cublas_status_alloc_failed",
)  # fmt: skip

ADVICE = (
    "Free memory or raise its limit (ulimit -v, the memory of the job), or take a smaller model, model.dtype=bfloat16 or "
    "fewer engine.slots; the same command goes on from there"
)


def out_of_memory(error: BaseException) -> bool:
    """PyTorch's allocators, safetensors and some CUDA libraries say so only in the text of an error."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, Exception) and any(text in str(error).lower() for text in _SAID)
