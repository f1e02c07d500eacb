"""The memory that a trial takes, and errors of running out of it."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from sweep import errors
from sweep.engine.host_memory import host_free, host_limit
from sweep.engine.host_tensors import HostTensors

R = TypeVar("R")

_NEAR = 2**24  # bytes within which a peak that was reset is the present size


def out_of_memory(error: BaseException) -> bool:
    """Return whether a trial ran out of memory; the error is then one of those that `tried`
    returns."""
    return isinstance(error, RuntimeError | MemoryError) and errors.out_of_memory(error)


def tried(call: Callable[[], R]) -> R | BaseException:
    """Return the result of `call`, or an error of the kinds that running out of memory raises."""
    try:
        return call()
    except (RuntimeError, MemoryError) as error:
        return error


def release(device: torch.device) -> None:
    """Free the memory that a trial still holds after its end: models and trainers are full of
    reference cycles. On the host its pages go back to the system."""
    bitsandbytes = sys.modules.get("bitsandbytes")
    if bitsandbytes is not None:  # bitsandbytes keeps the embeddings of every model that an 8-bit optimizer trained
        bitsandbytes.optim.GlobalOptimManager.get_instance().initialize()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        give_back()


def reset_peaks(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        try:
            clear.write_text("5")  # proc(5): resets this process's peak resident size
        except OSError:
            return


def peak_host_bytes() -> int:
    """Return the peak resident size in bytes: since `reset_peaks` where the system allows that
    (Linux does), else over the life of the process."""
    known = _status("VmHWM")
    if known is not None:
        return known
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device_bytes(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def in_use(device: torch.device) -> int:
    """Return the bytes allocated on a GPU, or this process's resident size."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else int(psutil.Process().memory_info().rss)


def peak(device: torch.device) -> int:
    """Return the most bytes in use since `reset_peaks`."""
    return peak_device_bytes(device) if device.type == "cuda" else peak_host_bytes()


def free(device: torch.device, workers: int = 1) -> int:
    """Return the bytes that are free: on a GPU with the allocator's own unused ones, on the host
    those that this process may still take where so many workers share its memory."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return host_free(workers)


def capacity(device: torch.device) -> int:
    """Return all bytes of the GPU, or those that this process may hold on the host."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return host_limit().bytes


@dataclass(slots=True)
class PeakMemory:
    """The most bytes that tensors took at once, and by how much the process or the GPU held more
    than `before`; `held` is 0 where the system does not tell."""

    tensors: int = 0
    held: int = 0
    before: int = 0


@contextmanager
def allocations(device: torch.device, *, count: bool = True) -> Iterator[PeakMemory]:
    """Measure what is taken within the context, beyond what there was before. The result is
    filled when the context has ended.

    On the host the tensors that operations of this thread return are counted, so that the pages
    that the process had already do not hide them. Free pages are given back first: what is held
    then includes the gaps that the allocator leaves between its blocks. While tensors are
    counted, PyTorch takes other code paths, on which the process holds less; without `count` none
    are counted.
    """
    found = PeakMemory()
    if device.type == "cuda":
        release(device)
        before = found.before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found.tensors = found.held = torch.cuda.max_memory_allocated(device) - before
        return
    gc.collect()
    give_back()
    reset_peaks(device)
    before, told = in_use(device), peak_host_bytes()
    found.before = before
    if count:
        with HostTensors() as seen:
            yield found
        found.tensors = seen.peak
    else:
        yield found
    found.held = max(peak_host_bytes() - before, 0) if told < before + _NEAR else 0


def give_back() -> None:
    """Give the free pages of the C library back to the system, where it can (glibc)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(name: str) -> int | None:
    """Return a value of this process's status in bytes; None where the system has none (Linux
    has)."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None
