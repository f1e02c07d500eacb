"""What each hyperparameter did, said no more strongly than the number of trials allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

from sweep.report.facts import Facts
from sweep.report.importance import DIRECTION, ENOUGH, Effect, effects, related
from sweep.report.markdown import bullets, code, escape, figure, join, table
from sweep.report.units import MISSING, plural, score, share, signed, value

_CHANCE = 0.05
_EDGE = 0.03  # share of a range, on its own scale, that counts as its end


def hyperparameters(facts: Facts, drawn: Set[str]) -> str:
    """Empty where nothing was searched, or only one trial was wanted."""
    if not facts.searched or facts.alone:
        return ""
    found = effects(facts)
    said = [*(_sentence(facts, effect) for effect in found), *_confounded(facts)] if _enough(facts) else []
    edges = [edge for key in facts.searched if (edge := _edge(facts, key))]
    return join(
        [
            "## What each hyperparameter did",
            _caution(facts),
            _table(facts, found) if facts.completed else "",
            figure("hyperparameters", f"{facts.metric} against each hyperparameter")
            if "hyperparameters" in drawn
            else "",
            bullets([*said, *edges]),
        ]
    )


def _enough(facts: Facts) -> bool:
    return len(facts.completed) >= DIRECTION


def _caution(facts: Facts) -> str:
    number = len(facts.completed)
    base = f"From {plural(number, 'completed trial')}; pruned and failed ones are in the plot, not in the numbers."
    if not _enough(facts):
        return (
            f"{base} That is too few to say what a hyperparameter did: directions are told from {DIRECTION} completed "
            f"trials, importances from {ENOUGH}."
        )
    few = f"That is few, so no importance is given below {ENOUGH}. " if number < ENOUGH else ""
    importance = "" if few else "Importance is Optuna's PED-ANOVA. "
    return (
        f"{base} {few}{importance}Rank correlation is Spearman's: +1 or −1 where the score always rises or always falls "
        "with the value. Its p is the chance of one at least as strong if the value did nothing."
    )


def _table(facts: Facts, found: tuple[Effect, ...]) -> str:
    """Without the columns that the number of trials does not allow."""
    columns = ["hyperparameter", "trials", "tried", "winner" if facts.final else "best so far"]
    rows = [
        [code(effect.key), str(effect.trials), escape(_tried(effect)) or MISSING, _won(facts, effect)]
        for effect in found
    ]
    if _enough(facts):
        columns += ["rank correlation", "p"]
        rows = [[*row, _two(effect.correlation), _p(effect.p)] for row, effect in zip(rows, found, strict=True)]
    if any(effect.importance is not None for effect in found):
        columns.append("importance")
        rows = [[*row, _importance(effect)] for row, effect in zip(rows, found, strict=True)]
    return table(columns, rows)


def _importance(effect: Effect) -> str:
    return share(effect.importance, 1) if effect.importance is not None else MISSING


def _won(facts: Facts, effect: Effect) -> str:
    params = facts.winner.params if facts.winner else {}
    return escape(value(params[effect.key])) if effect.key in params else MISSING


def _tried(effect: Effect) -> str:
    if effect.by_choice or effect.low is None:
        return ", ".join(effect.by_choice)
    return value(effect.low) if effect.low == effect.high else f"{value(effect.low)} to {value(effect.high)}"


def _sentence(facts: Facts, effect: Effect) -> str:
    weight = f"importance {_importance(effect)}" if effect.importance is not None else ""
    parts = [part for part in (_direction(facts, effect), weight, _where(effect), _choices(facts, effect)) if part]
    if not parts:
        parts = [f"nothing can be said from {plural(effect.trials, 'completed trial')} with it"]
    return f"{code(effect.key)}: {'; '.join(parts)}."


def _direction(facts: Facts, effect: Effect) -> str:
    if effect.correlation is None or effect.p is None:
        if effect.low is not None and effect.low == effect.high:
            return f"always {value(effect.low)} in {plural(effect.trials, 'completed trial')}, so its effect is unknown"
        return ""
    better = "higher" if (effect.correlation > 0) == facts.maximize else "lower"
    numbers = f"rank correlation {effect.correlation:+.2f} over {plural(effect.trials, 'trial')}, p = {_p(effect.p)}"
    if effect.correlation == 0:
        return f"no trend either way ({numbers})"
    if effect.p <= _CHANCE:
        return f"{better} values scored better ({numbers})"
    return f"{better} values tended to score better, but no more clearly than chance would ({numbers})"


def _where(effect: Effect) -> str:
    """Where the best trials lie, which shows what a rank correlation cannot: a best value inside the range."""
    if not effect.top or effect.by_choice or effect.low == effect.high:
        return ""
    low, high = value(min(effect.top)), value(max(effect.top))
    return f"the best {plural(len(effect.top), 'trial')} lie from {low} to {high}, of {_tried(effect)} tried"


def _choices(facts: Facts, effect: Effect) -> str:
    ranked = sorted(effect.by_choice.items(), key=lambda item: item[1][0], reverse=facts.maximize)
    means = [f"{score(mean)} with {escape(name)} ({plural(trials, 'trial')})" for name, (mean, trials) in ranked]
    return f"mean {facts.metric} {', '.join(means)}" if len(means) > 1 else ""


def _confounded(facts: Facts) -> list[str]:
    return [
        f"{code(first)} and {code(second)} moved together in these trials (rank correlation {signed(seen, 2)}), "
        "so what one did cannot be told from what the other did."
        for first, second, seen in related(facts)
    ]


def _edge(facts: Facts, key: str) -> str:
    """Where the winner lies at the end of a searched range, a better value may lie beyond it; below 0 none does."""
    spec, chosen = facts.lock.space.get(key), facts.winner.params.get(key) if facts.winner else None
    if not isinstance(spec, Mapping) or "low" not in spec or isinstance(chosen, bool | str | None):
        return ""
    low, high = spec["low"], spec["high"]
    if not low <= chosen <= high or low == high:
        return ""
    start, end, at = (math.log(one) if spec.get("log") else one for one in (low, high, chosen))
    place = (at - start) / (end - start)
    if _EDGE < place < 1 - _EDGE or (place <= _EDGE and low == 0):
        return ""
    return (
        f"{code(key)}: the winner's {value(chosen)} lies at the {'lower' if place <= _EDGE else 'upper'} end of the "
        f"searched range, {value(low)} to {value(high)}; a wider range may hold a better value."
    )


def _two(number: float | None) -> str:
    return MISSING if number is None else f"{number:+.2f}"


def _p(number: float | None) -> str:
    if number is None:
        return MISSING
    return f"{number:.3f}" if number >= 0.001 else "below 0.001"
