"""Overrides with other values in the place of some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.config.compose import Composer
from sweep.config.quoting import quoted


def merged(composer: Composer, overrides: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return `overrides` with `values` in place of those that set the same keys and groups, and
    nothing else."""
    kept = [one for one in overrides if not (keys := composer.keys(one)) or any(key not in values for key in keys)]
    return [*kept, *(composer.override(key, quoted(value)) for key, value in values.items())]
