"""How the methods were made: what differs among their configurations, and what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweep.config.schema import Config
from sweep.report.comparison.comparison import Comparison
from sweep.report.markdown import code, details, escape, join, table
from sweep.report.units import MISSING, value

_FIRST = (
    "model.path", "model.init", "adapter.method", "adapter.quantization", "adapter.r", "adapter.lora_alpha",
    "adapter.lora_dropout", "adapter.target_modules", "adapter.feedforward_modules", "prompt.template",
)  # fmt: skip
_GROUPS = ("model", "adapter", "prompt", "optimizer", "trainer")


def settings(comparison: Comparison) -> str:
    """One row a setting, one column a method; a searched value is marked with a star."""
    found = comparison.contestants
    flat = [_flat(one.config) for one in found]
    keys = [*_FIRST, *(key for one in flat for key in one)]
    differing, shared = [], []
    for key in dict.fromkeys(keys):
        cells = [_shown(one.get(key)) for one in flat]
        if len(set(cells)) == 1:
            shared += [f"{code(key)} {escape(cells[0])}"] if cells[0] not in (MISSING, "null") else []
            continue
        stars = [" \\*" if _searched(key, one.final.params) else "" for one in found]
        differing.append([code(key), *(escape(cell) + star for cell, star in zip(cells, stars, strict=True))])
    columns = ["setting", *(escape(one.name) for one in found)]
    return join(
        [
            table(columns, differing) if differing else "The methods were run with the same settings.",
            "\\* found by the search." if any("\\*" in cell for row in differing for cell in row) else "",
            details("The same for all", body=[", ".join(shared) + "."]) if shared else "",
        ]
    )


def _flat(config: Config) -> dict[str, object]:
    tree = config.model_dump(mode="json")
    found: dict[str, object] = {}
    for group in _GROUPS:
        _spread(group, tree[group], found)
    return found


def _spread(key: str, part: object, found: dict[str, object]) -> None:
    if isinstance(part, Mapping):
        for name, inner in part.items():
            _spread(f"{key}.{name}", inner, found)
    elif part is not None:
        found[key] = part


def _searched(key: str, params: Mapping[str, object]) -> bool:
    """A searched group (`adapter`) brings all of its settings."""
    return any(key == name or key.startswith(f"{name}.") for name in params)


def _shown(part: object) -> str:
    if part is None:
        return MISSING
    if isinstance(part, Sequence) and not isinstance(part, str):
        return ", ".join(map(str, part))
    return value(part) if isinstance(part, bool | int | float | str) else str(part)
