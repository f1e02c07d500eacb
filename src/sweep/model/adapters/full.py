"""The method `full`: every weight is trained."""

from __future__ import annotations

from typing import ClassVar, Literal

from sweep.config.adapter import AdapterConfig, Trains


class FullConfig(AdapterConfig):
    label: ClassVar[str] = "full fine-tuning"
    trained: ClassVar[str] = "every weight"
    trains: ClassVar[Trains] = "everything"

    method: Literal["full"] = "full"
