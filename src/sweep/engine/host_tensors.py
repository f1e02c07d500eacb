"""The bytes of the tensors that operations make on the host."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class HostTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that operations return while the mode is on, as long as they live.
    `peak` is the most bytes that they took at once.

    Storages that were there before do not count, nor what a kernel takes while it runs. Only the
    thread that enters the mode is seen. PyTorch's own `MemTracker` works in the same way.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._held = 0
        self._known: dict[int, tuple[int, Any]] = {}  # bytes and weak reference, by address of the storage

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            self._note(tensor, made=False)
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            self._note(tensor, made=True)
        self.peak = max(self.peak, self._held)
        return found

    def _note(self, tensor: Any, *, made: bool) -> None:
        if not isinstance(tensor, Tensor) or tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes() if made else 0
        self._held += size
        self._known[key] = size, weakref.ref(storage, lambda _: self._drop(key))

    def _drop(self, key: int) -> None:
        size, _ = self._known.pop(key, (0, None))
        self._held -= size
