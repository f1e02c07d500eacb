"""How much memory a trial took, and whether it was too much."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path

import torch

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def out_of_memory(error: BaseException) -> bool:
    """PyTorch's CPU allocator and some CUDA libraries say so only in the text of a `RuntimeError`."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


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
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device_bytes(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
