"""What each hyperparameter did, said no more strongly than the number of trials allows."""

from __future__ import annotations

from collections.abc import Set

from sweep.report.facts import Facts
from sweep.report.importance import ENOUGH, Effect, effects, related
from sweep.report.markdown import bullets, code, escape, figure, join, table
from sweep.report.units import MISSING, plural, score, share, signed, value

_CHANCE = 0.05


def hyperparameters(facts: Facts, drawn: Set[str]) -> str:
    if not facts.searched:
        return ""
    found = effects(facts)
    return join(
        [
            "## What each hyperparameter did",
            _caution(facts),
            _table(facts, found),
            figure("hyperparameters", f"{facts.metric} against each hyperparameter")
            if "hyperparameters" in drawn
            else "",
            bullets([*(_sentence(facts, effect) for effect in found), *_confounded(facts)]),
        ]
    )


def _caution(facts: Facts) -> str:
    number = len(facts.completed)
    base = f"From {plural(number, 'completed trial')}; pruned and failed ones are in the plot, not in the numbers."
    if number < ENOUGH:
        return (
            f"{base} {number} are few: no importance is given below {ENOUGH}, only rank correlations (Spearman), each "
            "with the chance of one at least as strong if the value did nothing (p)."
        )
    return (
        f"{base} Importance is Optuna's PED-ANOVA. Rank correlations are Spearman's, each with the chance of one at "
        "least as strong if the value did nothing (p)."
    )


def _table(facts: Facts, found: tuple[Effect, ...]) -> str:
    rows = []
    for effect in found:
        best = facts.best.params.get(effect.key) if facts.best and effect.key in facts.best.params else None
        importance = share(effect.importance, 1) if effect.importance is not None else MISSING
        strength = [importance, _two(effect.correlation), _p(effect.p)]
        shown = escape(value(best)) if best is not None else MISSING
        rows.append([code(effect.key), str(effect.trials), *strength, escape(_tried(effect)) or MISSING, shown])
    return table(["hyperparameter", "trials", "importance", "rank correlation", "p", "tried", "best trial"], rows)


def _tried(effect: Effect) -> str:
    if effect.low is None:
        return ", ".join(effect.by_choice)
    return value(effect.low) if effect.low == effect.high else f"{value(effect.low)} to {value(effect.high)}"


def _sentence(facts: Facts, effect: Effect) -> str:
    weight = f"importance {share(effect.importance, 1)}" if effect.importance is not None else ""
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


def _two(number: float | None) -> str:
    return MISSING if number is None else f"{number:+.2f}"


def _p(number: float | None) -> str:
    if number is None:
        return MISSING
    return f"{number:.3f}" if number >= 0.001 else "below 0.001"
