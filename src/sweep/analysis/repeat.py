"""The commands that repeat the study, and the places of its files."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.analysis.facts import Facts
from sweep.data.example import batch


@dataclass(frozen=True, slots=True)
class Repeating:
    """`example` is the code of a batch for the model kept; None before there is one. `packed` says
    that a trial was trained in a pack, `confirmed` that there were fresh seeds, `choices` that a
    group run keeps a model for each other choice."""

    command: str
    example: str | None
    packed: bool
    confirmed: bool
    choices: bool


def repeating(facts: Facts) -> Repeating:
    """Return what repeats the study and loads its model."""
    config = facts.final.config if facts.final else None
    return Repeating(
        command=facts.lock.command,
        example=batch(paired=config.dataset.text_pair_column is not None, prompted=config.prompt is not None)
        if config
        else None,
        packed=any(trial.outcome.cost.engine == "packed" for trial in facts.trials),
        confirmed=bool(facts.repeats),
        choices=len(facts.finals) > 1,
    )
