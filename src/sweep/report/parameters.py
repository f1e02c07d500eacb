"""The parameter account: what the model is made of, and how much of it was trained."""

from __future__ import annotations

from sweep.records.final import ParameterGroup
from sweep.report.facts import Facts
from sweep.report.markdown import escape, join, table
from sweep.report.units import count, share, size


def parameters(facts: Facts) -> str:
    if facts.final is None:
        return ""
    held = facts.final.parameters
    whole = ParameterGroup(held.total, held.trainable, held.bytes)
    rows = [_row(escape(name), group) for name, group in held.groups.items()]
    rows.append([f"**{cell}**" for cell in _row("in all", whole)])
    said = (
        f"{share(held.trainable, held.total)} of the weights were trained: {count(held.trainable)} of "
        f"{count(held.total)}. Memory is that of the weights as they were loaded; training takes more."
    )
    return join(["### Parameters", said, table(["group", "weights", "trained", "share trained", "memory"], rows)])


def _row(name: str, group: ParameterGroup) -> list[str]:
    trained = share(group.trainable, group.total)
    return [name, count(group.total), count(group.trainable), trained, size(group.bytes)]
