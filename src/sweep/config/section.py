"""The base class of every part of the config, and the types of values that several parts share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sweep.config.folders import expanded

Scalar = bool | int | float | str | None
Count = Annotated[int, Field(ge=1, le=10**9)]
Rank = Annotated[int, Field(ge=1, le=65_536)]
Seconds = Annotated[float, Field(gt=0, le=10**8)]  # three years
Bytes = Annotated[float, Field(gt=0, le=10**18)]
NonNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Place = Annotated[str, AfterValidator(lambda path: str(expanded(path)) if path.startswith("~") else path)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Section(BaseModel):
    """A part of the config, checked strictly.

    A number in quotes is not a number. NaN and infinity are refused, since JSON cannot hold them.
    An unknown key is a fault, and no value changes after parsing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())
