"""What the study cost, trial by trial and in all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from sweep.records import Completed, Cost, Pruned
from sweep.report.facts import Facts
from sweep.report.markdown import bullets, join, table
from sweep.report.units import MISSING, count, flops, plural, rate, score, seconds, share, size

_COLUMNS = (
    "seconds", "training", "evaluating", "steps", "rows seen", "rows/s", "steps/s", "FLOPs", "peak memory, host",
    "peak memory, device", "train/loss",
)  # fmt: skip


def cost(facts: Facts) -> str:
    spent = [trial.outcome.cost for trial in facts.trials]
    rows = [(f"trial {trial.number}", trial.outcome.cost) for trial in facts.trials]
    sums = [("all trials", total(spent))]
    if facts.final:
        rows.append(("retraining", facts.final.cost))
        sums.append(("with retraining", total([*spent, facts.final.cost])))
    columns = ["what", *_COLUMNS]
    cells = [[name, *_row(one)] for name, one in rows] + [_bold([name, *_row(one)]) for name, one in sums]
    kept = [place for place in range(len(columns)) if any(row[place] != MISSING for row in cells)]
    note = "Rows and steps a second are of training time; FLOPs are the Trainer's estimate; memory totals are maxima."
    shown = [[row[place] for place in kept] for row in cells]
    return join(
        ["## What it cost", table([columns[place] for place in kept], shown), note, bullets(_observations(facts))]
    )


def total(costs: Sequence[Cost]) -> Cost:
    """Sums, but the largest memory peak and no loss."""
    return Cost(
        seconds=math.fsum(one.seconds for one in costs),
        train_seconds=math.fsum(one.train_seconds for one in costs),
        eval_seconds=math.fsum(one.eval_seconds for one in costs),
        steps=sum(one.steps for one in costs),
        samples=sum(one.samples for one in costs),
        flops=math.fsum(one.flops for one in costs),
        peak_host_bytes=max((one.peak_host_bytes for one in costs), default=0),
        peak_device_bytes=max((one.peak_device_bytes for one in costs), default=0),
    )


def _row(spent: Cost) -> list[str]:
    times = (spent.seconds, spent.train_seconds, spent.eval_seconds)
    rates = [rate(amount, spent.train_seconds) for amount in (spent.samples, spent.steps)]
    memory = [size(spent.peak_host_bytes), size(spent.peak_device_bytes)]
    counts = [count(spent.steps), count(spent.samples)]
    return [*(f"{one:,.1f}" for one in times), *counts, *rates, flops(spent.flops), *memory, score(spent.train_loss)]


def _bold(cells: list[str]) -> list[str]:
    return [cell if cell == MISSING else f"**{cell}**" for cell in cells]


def _observations(facts: Facts) -> list[str]:
    spent = total([trial.outcome.cost for trial in facts.trials])
    lines = [f"{plural(len(facts.trials), 'trial')} took {seconds(spent.seconds)} in all; {_elapsed(facts)}."]
    whole = [trial for trial in facts.trials if isinstance(trial.outcome, Completed)]
    if whole:
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


def _elapsed(facts: Facts) -> str:
    first = min(datetime.fromisoformat(trial.started) for trial in facts.trials)
    last = max(datetime.fromisoformat(trial.finished) for trial in facts.trials)
    return f"from the start of the first to the end of the last {seconds((last - first).total_seconds())} went by"
