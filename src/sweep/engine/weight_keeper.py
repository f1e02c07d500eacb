"""The protocol by which a trial stores its weights at evaluations."""

from __future__ import annotations

from typing import Protocol


class WeightKeeper(Protocol):
    """Stores the weights of a trial at its evaluations."""

    def keep(self) -> None:
        """Store the present weights as the best ones."""

    def keep_newest(self) -> None:
        """Store the present weights as the newest ones."""


class KeepsNothing:
    """A `WeightKeeper` for a trial without a model."""

    def keep(self) -> None: ...

    def keep_newest(self) -> None: ...
