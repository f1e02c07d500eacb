"""A chosen trial trained again, from scratch, with its own config and seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sweep.errors import Interrupted, UserError
from sweep.final.watch import Watch, ended_early
from sweep.records import Failed, FailureReason, TrialPlan
from sweep.study.session import Session
from sweep.track.tracker import JobType
from sweep.train import memory
from sweep.train.trial import Trained, trained


@contextmanager
def watched(session: Session, plan: TrialPlan, title: str) -> Iterator[Watch]:
    """A run on the dashboard, ended as failed by whatever ends the training early."""
    run = session.tracker.open(plan, JobType.FINAL)
    session.view.begin(plan, title)
    try:
        yield Watch(session, run, title)
    except BaseException as error:
        run.finish(ended_early(error))
        raise
    finally:
        session.view.over(title)


@contextmanager
def retrained(session: Session, plan: TrialPlan, watch: Watch) -> Iterator[Trained]:
    """The trained model, as long as the context lasts. Raises Interrupted after Ctrl-C, and UserError where the memory
    that held the trial does not hold it again."""
    try:
        with trained(
            plan, bench=session.bench, data=session.data, on_step=watch.step, on_eval=watch.evaluated, best_dir=None
        ) as result:
            if isinstance(result.outcome, Failed) and result.outcome.reason is FailureReason.INTERRUPTED:
                again = "the same command goes on from here"
                raise Interrupted(f"stopped while trial {plan.number} was trained again; {again}.")
            yield result
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        raise UserError.of("", f"trial {plan.number} could not be retrained: out of memory") from None
    finally:
        memory.release(session.bench.device)
