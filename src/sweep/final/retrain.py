"""Retraining of a chosen trial from scratch, with its own config and seed.

A retraining uses the train rows; a refit uses the train and validation rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sweep.config.steps import refit_steps
from sweep.data.tokenise import TokenisedData
from sweep.engine import memory
from sweep.engine.trainer import Trained, trained
from sweep.errors import ADVICE, Interrupted, UserError, first_line
from sweep.final.watch import Watch, ended_early
from sweep.records.trial import EvalPoint, Failed, FailureReason, TrialPlan
from sweep.study.session import Session
from sweep.track.tracker import JobType


@contextmanager
def watched(session: Session, plan: TrialPlan, title: str, job_type: JobType = JobType.FINAL) -> Iterator[Watch]:
    """Open a run of the tracker for a training, and end it as failed if an error ends the
    training."""
    run = session.tracker.open(plan, job_type)
    session.view.begin(plan, title)
    try:
        yield Watch(session, run, title)
    except BaseException as error:
        run.finish(ended_early(error))
        raise
    finally:
        session.view.over(title)


@contextmanager
def retrained(
    session: Session, plan: TrialPlan, watch: Watch, *, as_packed: bool, refit: bool = False
) -> Iterator[Trained]:
    """Train the model and give it within the context.

    With `as_packed`, dropout uses the random masks that the trial had in a pack. A `refit` trains
    on train and validation rows together, without evaluations. Raises Interrupted after Ctrl-C,
    and UserError if the training fails or memory runs out.
    """
    data = TokenisedData(session.plan.splits.merged, session.data.cache) if refit else session.data
    done = "refitted" if refit else "retrained"
    try:
        with trained(
            plan, base_models=session.base_models, data=data, on_step=watch.step, on_eval=watch.evaluated, best_dir=None,
            evaluated=not refit, as_packed=as_packed,
        ) as result:  # fmt: skip
            _raise_if_failed(result.failed, plan, done)
            yield result
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        rule = f"trial {plan.number} could not be {done}: out of memory ({first_line(error)})"
        raise UserError.of("", f"{rule}. All trials are kept. {ADVICE}.") from None
    finally:
        memory.release(session.base_models.device)


def refit_plan(session: Session, plan: TrialPlan, best: EvalPoint) -> TrialPlan:
    """Return the plan of the refit: as many epochs as the retraining needed for its best."""
    splits = session.plan.splits
    rows, more = len(splits.train), len(splits.merged.train)
    return replace(plan, total_steps=refit_steps(best.step, rows, more, plan.config))


def _raise_if_failed(failed: Failed | None, plan: TrialPlan, done: str) -> None:
    if failed is None:
        return
    if failed.reason is FailureReason.INTERRUPTED:
        again = "the same command goes on from here"
        raise Interrupted(f"stopped while trial {plan.number} was {done}; {again}.")
    advice = f". All trials are kept. {ADVICE}." if failed.reason is FailureReason.OUT_OF_MEMORY else ""
    raise UserError.of("", f"the winner could not be {done}: {failed.reason}: {failed.message}{advice}")
