"""How the methods were made: what differs among their configurations, and what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweep.config.schema import Config
from sweep.report.comparison.comparison import Comparison
from sweep.report.markdown import code, details, escape, join, table
from sweep.report.units import MISSING, value

# Shown although all methods may share them: what a reader looks for first.
_ALWAYS = (
    "model.path", "adapter.method", "adapter.quantization", "adapter.r", "adapter.lora_alpha", "adapter.lora_dropout",
    "adapter.target_modules", "adapter.feedforward_modules",
)  # fmt: skip
_GROUPS = ("model", "adapter", "prompt", "optimizer", "trainer")


def settings(comparison: Comparison) -> str:
    """One row a setting, one column a method; a searched value is marked with a star. Those that differ, the searched
    ones and the main ones; the others are folded."""
    found = comparison.contestants
    flat = [_flat(one.config) for one in found]
    keys = [*_ALWAYS, *(key for one in flat for key in one)]
    rows, shared = [], []
    for key in dict.fromkeys(keys):
        cells = [_shown(one.get(key)) for one in flat]
        stars = [" \\*" if _searched(key, one.final.params) else "" for one in found]
        if len(set(cells)) == 1 and (cells[0] == MISSING or (key not in _ALWAYS and not any(stars))):
            shared += [f"{code(key)} {escape(cells[0])}"] if cells[0] != MISSING else []
            continue
        rows.append([code(key), *(escape(cell) + star for cell, star in zip(cells, stars, strict=True))])
    columns = ["setting", *(escape(one.name) for one in found)]
    return join(
        [
            table(columns, rows),
            "\\* found by the search." if any("\\*" in cell for row in rows for cell in row) else "",
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
