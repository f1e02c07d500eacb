"""The commands that repeat the study, and the places of its files."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.analysis.facts import Facts
from sweep.data.example import texts


@dataclass(frozen=True, slots=True)
class Repeating:
    """`example` is the arguments of `model.predict` for the model kept, as code; None before there
    is one. `choice` is the winner's value of `study.compare_by`; None without. `packed` says that
    a trial was trained in a pack, `confirmed` that there were fresh seeds, `choices` that a group
    run keeps a model for each other choice."""

    command: str
    example: str | None
    choice: str | None
    packed: bool
    confirmed: bool
    choices: bool


def repeating(facts: Facts) -> Repeating:
    """Return what repeats the study and loads its model."""
    final, key = facts.final, facts.study.compare_by
    return Repeating(
        command=facts.lock.command,
        example=texts(paired=final.config.dataset.text_pair_column is not None) if final else None,
        choice=str(final.params[key]) if final and key and key in final.params else None,
        packed=any(trial.outcome.cost.engine == "packed" for trial in facts.trials),
        confirmed=bool(facts.repeats),
        choices=len(facts.finals) > 1,
    )
