"""What the study cost: searching, fresh seeds, retraining and refit, in all and trial by trial."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sweep.records.trial import Completed, Cost, Failed, FailureReason, Pruned, TrialRecord, total
from sweep.report.facts import Facts
from sweep.report.markdown import bullets, details, escape, join, table
from sweep.report.tables import state
from sweep.report.units import MISSING, count, flops, plural, rate, score, seconds, share, size

_TIME = ("what", "seconds", "training", "evaluating", "rows/s", "steps/s", "evaluated rows/s", "device-hours")
_WORK = ("what", "steps", "rows seen", "FLOPs", "host memory", "device memory", "train/loss", "device")

_ENGINES = {
    "packed": "packed (several at once on one frozen base)",
    "trainer": "by the Trainer (one at a time)",
    "frozen": "on cached features of the frozen base (one at a time)",
}
_SHARES = "A packed trial's seconds are its share of the time in which it ran beside others, so that the sum is the machine's."

Named = Sequence[tuple[str, Cost]]


def cost(facts: Facts) -> str:
    """Empty before any trial has ended: what a trial takes is recorded at its end."""
    if not facts.trials:
        return ""
    trials = [(_name(facts, place), trial.outcome.cost) for place, trial in enumerate(facts.trials)]
    folded = details("Each trial's cost", body=_tables(trials)) if len(trials) > 1 else ""
    parts = _parts(facts)
    summed = [*parts, ("in all", facts.spent)] if len(parts) > 1 else parts
    note = (
        "Rows and steps a second are of training time, evaluated rows of evaluating time; what is left of the seconds is "
        "setting up. FLOPs are the Trainer's estimate. Memory is the peak; of several runs the largest."
    )
    return join(["## What it cost", *_tables(summed), folded, note, bullets(_observations(facts))])


def spent_in_all(facts: Facts) -> str:
    """One line for the top of the report."""
    spent = facts.spent
    device = f" on {escape(spent.device)}" if spent.device else ""
    repeats = sum(len(one.scores) + one.failed for held in facts.repeats for one in held.candidates)
    runs = len(facts.trials) - len(_lost(facts)) + repeats + sum(len(one.costs) for one in facts.finals)
    seeds = f", {repeats} of them with fresh seeds," if repeats else ""
    lost = f", not counting {plural(len(_lost(facts)), 'trial')} lost" if _lost(facts) else ""
    return f"{plural(runs, 'training run')}{seeds} took {_hours(spent)}{device}{lost}."


def _lost(facts: Facts) -> list[TrialRecord]:
    """Trials that died with their process, which took with it what they had cost."""
    return [
        trial
        for trial in facts.trials
        if isinstance(trial.outcome, Failed) and trial.outcome.reason is FailureReason.LOST
    ]


def _parts(facts: Facts) -> list[tuple[str, Cost]]:
    """What the study did, one after the other."""
    spent, again = [trial.outcome.cost for trial in facts.trials], [one.cost for one in facts.finals]
    refits = [one.refit.cost for one in facts.finals if one.refit]
    parts = [("the trial", spent[0]) if facts.alone else (plural(len(spent), "trial"), total(spent))]
    if facts.repeats:
        parts.append(("fresh seeds", total([one.cost for one in facts.repeats])))
    for name, costs in (("retraining", again), ("refit", refits)):
        if costs:
            parts.append((name, costs[0]) if len(costs) == 1 else (plural(len(costs), name), total(costs)))
    return parts


def _tables(named: Named) -> list[str]:
    return [
        _table(_TIME, [(name, _time(one)) for name, one in named]),
        _table(_WORK, [(n, _work(c)) for n, c in named]),
    ]


def _table(columns: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> str:
    """Without the columns in which nothing was measured."""
    cells = [[name, *row] for name, row in rows]
    kept = [place for place in range(len(columns)) if any(row[place] != MISSING for row in cells)]
    if len({row[-1] for row in cells}) == 1 and columns[-1] == "device":
        kept = [place for place in kept if columns[place] != "device"]  # told in words
    shown = [_bold(row) if row[0] == "in all" else row for row in ([row[place] for place in kept] for row in cells)]
    return table([columns[place] for place in kept], shown)


def _time(spent: Cost) -> list[str]:
    if spent == Cost():
        return [MISSING] * (len(_TIME) - 1)
    times = (spent.seconds, spent.train_seconds, spent.eval_seconds)
    rates = (spent.samples_per_second, spent.steps_per_second, spent.eval_samples_per_second or None)
    hours = f"{spent.device_hours:.3g}" if spent.seconds else MISSING
    return [*(f"{one:,.1f}" for one in times), *map(rate, rates), hours]


def _work(spent: Cost) -> list[str]:
    if spent == Cost():
        return [MISSING] * (len(_WORK) - 1)
    counts = [count(spent.steps), count(spent.samples), flops(spent.flops)]
    memory = [size(spent.peak_host_bytes), size(spent.peak_device_bytes)]
    return [*counts, *memory, score(spent.train_loss), escape(spent.device) or MISSING]


def _bold(cells: list[str]) -> list[str]:
    return [cell if cell == MISSING else f"**{cell}**" for cell in cells]


def _name(facts: Facts, place: int) -> str:
    trial = facts.trials[place]
    return f"trial {trial.number}" + ("" if isinstance(trial.outcome, Completed) else f", {state(trial)}")


def _observations(facts: Facts) -> list[str]:
    spent = total([trial.outcome.cost for trial in facts.trials])
    lines = [_where_time_went(facts.spent), *_engines(facts)]
    if not facts.alone:
        counted = len(facts.trials) - len(_lost(facts))
        each = spent.seconds / max(counted, 1)
        lines.append(
            f"{plural(counted, 'trial')} took {seconds(spent.seconds)} in all, {seconds(each)} each on average; "
            f"{_elapsed(facts)}."
        )
        if lost := _lost(facts):
            lines.append(
                f"What {plural(len(lost), 'trial')} had cost when the process ended is not known, and in no sum."
            )
        lines += _wasted(facts, spent)
    return lines


def _where_time_went(spent: Cost) -> str:
    rest = spent.seconds - spent.train_seconds - spent.eval_seconds
    device = f" ({escape(spent.device)})" if spent.device else ""
    return (
        f"It held one device{device} for {seconds(spent.seconds)}: {share(spent.train_seconds, spent.seconds)} of that training, "
        f"{share(spent.eval_seconds, spent.seconds)} evaluating on validation, {share(rest, spent.seconds)} setting up."
    )


def _engines(facts: Facts) -> list[str]:
    """What trained the trials; nothing where no record tells."""
    counts = Counter(trial.outcome.cost.engine for trial in facts.trials)
    told = {engine: number for engine, number in counts.most_common() if engine}
    if not told:
        return []
    (first, number), *others = told.items()
    trials = plural(len(facts.trials), "trial")
    whole = f"{number} of {trials}" if number < len(facts.trials) else "The trial" if facts.alone else f"All {trials}"
    also = "".join(f", {more} {_ENGINES[engine]}" for engine, more in others)
    said = f"{whole} {'was' if number == 1 else 'were'} trained {_ENGINES[first]}{also}."
    return [said, _SHARES] if "packed" in told else [said]


def _wasted(facts: Facts, spent: Cost) -> list[str]:
    lines = []
    whole = [trial for trial in facts.trials if isinstance(trial.outcome, Completed)]
    if 0 < len(whole) < len(facts.trials):
        useful = math.fsum(trial.outcome.cost.seconds for trial in whole)
        lines.append(f"{share(useful, spent.seconds)} of that went into trials that completed.")
    pruned = [trial for trial in facts.trials if isinstance(trial.outcome, Pruned)]
    if pruned:
        planned, done = (
            sum(trial.total_steps for trial in pruned),
            sum(trial.outcome.cost.steps for trial in pruned),
        )
        lines.append(
            f"Pruning ended {plural(len(pruned), 'trial')} after {count(done)} of {count(planned)} steps: it saved "
            f"{count(planned - done)} steps, {share(planned - done, planned)} of theirs."
        )
    return lines


def _hours(spent: Cost) -> str:
    """`92.00 s, 0.0256 device-hours`."""
    return f"{seconds(spent.seconds)}, {spent.device_hours:.3g} device-hours"


def _elapsed(facts: Facts) -> str:
    first = min(datetime.fromisoformat(trial.started) for trial in facts.trials)
    last = max(datetime.fromisoformat(trial.finished) for trial in facts.trials)
    return f"from the start of the first to the end of the last {seconds((last - first).total_seconds())} went by"
