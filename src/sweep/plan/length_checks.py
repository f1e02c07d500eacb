"""Rules between the lengths of the trials and their schedule, evaluations and pruner."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.config.optimizers import schedule_arguments
from sweep.config.schema import Config, StudyConfig
from sweep.config.space import Space
from sweep.config.steps import warmup_steps
from sweep.errors import Fault
from sweep.plan.lengths import WARMUP, TrialLengths

_MOST_STEPS, _MOST_EVALUATIONS = 10**9, 100_000  # of one trial


def length_faults(config: Config, space: Space, lengths: TrialLengths) -> Iterator[Fault]:
    """Yield the faults of trials that are too long to be counted, or too short.

    A trial may be too short for its warmup, its decay or the pruner.
    """
    if too_many := list(_uncountable(lengths)):
        yield from too_many
        return
    if WARMUP not in space or space[WARMUP].when:  # where its condition is not met, trials have the fixed one
        yield from _long_warmup(config.optimizer.warmup_steps, lengths, searched=len(space) > 0)
    yield from _long_decay(lengths)
    yield from _pruned_at_the_end(config.study, lengths)


def _uncountable(lengths: TrialLengths) -> Iterator[Fault]:
    """Yield a fault for trials of more steps or evaluations than anyone trains.

    A plan lists each evaluation.
    """
    longest = lengths.longest
    if longest > _MOST_STEPS:
        rule = f"makes trials of up to {longest:,} steps, but must make at most {_MOST_STEPS:,}"
        yield Fault("trainer.num_train_epochs", f"{rule}; use fewer epochs or larger batches")
    often = [corner.trainer.eval_steps for corner in lengths.corners if corner.trainer.eval_strategy == "steps"]
    least = min((steps for steps in often if steps is not None), default=None)
    if least is not None and longest // least > _MOST_EVALUATIONS:
        wanted = -(-longest // _MOST_EVALUATIONS)
        rule = f"is {least}, which makes {longest // least:,} evaluations in {longest:,} steps; it must be at least {wanted:,}"
        yield Fault("trainer.eval_steps", rule)


def _long_warmup(warmup: float, lengths: TrialLengths, *, searched: bool) -> Iterator[Fault]:
    """Yield a fault for a warmup as long as the shortest trial."""
    shortest = lengths.shortest
    if warmup_steps(shortest, warmup) < shortest:
        return
    trial = "the shortest trial of this search" if searched else "this trial"
    rule = f"is {warmup:g}, but must be below the {shortest} step{'s' if shortest > 1 else ''} of {trial}"
    tenth = f"{WARMUP}=0.1 for a tenth of each trial's steps"
    remedy = tenth if warmup_steps(shortest, 0.1) < shortest else f"{WARMUP}=0"
    yield Fault(WARMUP, f"{rule}; type {remedy}")


def _long_decay(lengths: TrialLengths) -> Iterator[Fault]:
    """Yield a fault for a schedule of three phases that is longer than the shortest trial.

    The phases counted are its warmup and its decay.
    """
    shortest = lengths.shortest
    for optimizer in (corner.optimizer for corner in lengths.corners):
        given = schedule_arguments(optimizer)
        decay = given.get("num_decay_steps")
        if optimizer.lr_scheduler_type != "warmup_stable_decay" or "num_stable_steps" in given or decay is None:
            continue
        warmup = warmup_steps(shortest, optimizer.warmup_steps)
        if warmup + decay > shortest:
            rule = f"has num_decay_steps {decay}, and warmup takes {warmup} steps, but the shortest trial has {shortest} in all"
            yield Fault("optimizer.lr_scheduler_kwargs", f"{rule}; give a smaller num_decay_steps")
            return


def _pruned_at_the_end(study: StudyConfig, lengths: TrialLengths) -> Iterator[Fault]:
    """Yield a fault for a pruner of trials that are all evaluated once, at their end."""
    if study.pruner == "none" or study.n_trials == 1:
        return
    if all(len(lengths.evaluations(corner.trainer)) < 2 for corner in lengths.corners):
        rule = f"is {study.pruner}, but each trial is evaluated once, at its end; type study.pruner=none"
        yield Fault("study.pruner", rule)
