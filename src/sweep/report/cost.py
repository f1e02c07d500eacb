"""What the study cost, trial by trial and in all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from sweep.records import Completed, Cost, Pruned
from sweep.report.facts import Facts
from sweep.report.markdown import bullets, join, table
from sweep.report.units import MISSING, count, flops, plural, rate, score, seconds, share, size


def cost(facts: Facts) -> str:
    rows = [_row(f"trial {trial.number}", trial.outcome.cost) for trial in facts.trials]
    spent = [trial.outcome.cost for trial in facts.trials]
    rows.append(_bold(_row("all trials", total(spent))))
    if facts.final:
        rows.append(_row("retraining", facts.final.cost))
        rows.append(_bold(_row("all trials and retraining", total([*spent, facts.final.cost]))))
    columns = ["what", "seconds", "training", "evaluating", "steps", "rows seen", "rows/s", "steps/s", "FLOPs",
               "peak host memory", "peak device memory", "train/loss"]  # fmt: skip
    note = (
        "Rows and steps a second are of the training time; FLOPs are the Trainer's estimate; memory peaks are maxima."
    )
    return join(["## What it cost", table(columns, rows), note, bullets(_observations(facts))])


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


def _row(name: str, spent: Cost) -> list[str]:
    return [
        name, f"{spent.seconds:,.1f}", f"{spent.train_seconds:,.1f}", f"{spent.eval_seconds:,.1f}", count(spent.steps),
        count(spent.samples), rate(spent.samples, spent.train_seconds), rate(spent.steps, spent.train_seconds),
        flops(spent.flops), size(spent.peak_host_bytes), size(spent.peak_device_bytes), score(spent.train_loss),
    ]  # fmt: skip


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
