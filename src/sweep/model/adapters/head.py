"""The method `head`: the base stays frozen, and only the classification head is trained."""

from __future__ import annotations

from typing import ClassVar, Literal

from sweep.config.adapter import AdapterConfig, Trains


class HeadConfig(AdapterConfig):
    label: ClassVar[str] = "head only"
    trained: ClassVar[str] = "the classification head alone"
    trains: ClassVar[Trains] = "head"

    method: Literal["head"] = "head"
