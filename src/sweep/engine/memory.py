"""How much memory a trial took, and whether it was too much."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from sweep import errors

R = TypeVar("R")


def out_of_memory(error: BaseException) -> bool:
    """Whether a trial ran out of memory: then the error is one of those that `tried` gives back."""
    return isinstance(error, RuntimeError | MemoryError) and errors.out_of_memory(error)


def tried(call: Callable[[], R]) -> R | BaseException:
    """What `call` gives, or an error of the kinds that running out of memory raises."""
    try:
        return call()
    except (RuntimeError, MemoryError) as error:
        return error


def release(device: torch.device) -> None:
    """Give back what a trial that has ended still holds: models and trainers are full of reference cycles."""
    bitsandbytes = sys.modules.get("bitsandbytes")
    if bitsandbytes is not None:  # it keeps the embeddings of every model that an 8-bit optimizer ever trained
        bitsandbytes.optim.GlobalOptimManager.get_instance().initialize()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


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
    """Peak resident size since `reset_peaks` where the system allows that (Linux does), else of the process's life."""
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
    """Bytes: what is allocated on a GPU, or this process's resident size."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else int(psutil.Process().memory_info().rss)


def peak(device: torch.device) -> int:
    """The most that was in use since `reset_peaks`."""
    return peak_device_bytes(device) if device.type == "cuda" else peak_host_bytes()


def free(device: torch.device) -> int:
    """Bytes that can still be had: on a GPU the allocator's own unused ones too; on the host, of the whole machine."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return int(psutil.virtual_memory().available)


def capacity(device: torch.device) -> int:
    """Bytes that there are in all: of a GPU, or of the machine with its swap space."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return int(psutil.virtual_memory().total + psutil.swap_memory().total)


def _status(name: str) -> int | None:
    """Of this process, in bytes, where the system tells (Linux does)."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None
