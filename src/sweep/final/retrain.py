"""Retraining of a chosen trial from scratch, with its own config and seed.

A retraining uses the train rows; a refit uses the train and validation rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sweep.config.steps import refit_steps
from sweep.errors import ADVICE, Interrupted, UserError
from sweep.final.final_model import FinalModel
from sweep.final.local_model import Training, TrainingEnd
from sweep.final.training_listener import TrainingListener
from sweep.launch.lost import WorkerLostError
from sweep.records.final import RetrainRecord
from sweep.records.trial import EvalPoint, Failed, FailureReason, TrialPlan, TrialRecord
from sweep.study.session import Session
from sweep.track.tracker import JobType


@contextmanager
def watched(
    session: Session, key: str, plan: TrialPlan, title: str, job_type: JobType = JobType.FINAL
) -> Iterator[TrainingListener]:
    """Open a run of the tracker for a training, and end it as failed if an error ends the
    training."""
    watch = TrainingListener.begin(session, key, plan, title, job_type)
    try:
        yield watch
    except BaseException as error:
        watch.fail(error)
        raise
    finally:
        watch.over()
        session.view.over(title)


def train(model: FinalModel, training: Training, watch: TrainingListener) -> TrainingEnd:
    """Train the model, from the last snapshot on where there is one. Return how it ended. One that
    diverged, or has no score, begins anew the next time.

    Raises Interrupted after Ctrl-C, WorkerLostError where the worker was told to end, and
    UserError if the training fails or memory runs out.
    """
    stays = not model.shares_disk and training.plan.kept_on_worker
    kept = watch.kept_on_worker if stays else None
    end = model.train(replace(training, plan=watch.resumed(training.plan), kept=kept), watch)
    watch.over(end.cost.seconds)
    if isinstance(end.outcome, Failed):
        if end.outcome.reason is FailureReason.INTERRUPTED and not watch.session.stop.raised:
            raise WorkerLostError(model.host, "it was told to end")
        if end.outcome.reason is FailureReason.DIVERGED:  # the same again, from there on
            watch.drop_snapshot()
        _raise(end.outcome, training, watch.progress.step)
    return end


def scored(session: Session, record: TrialRecord, again: RetrainRecord) -> EvalPoint:
    """Return the evaluation by which a model is judged: the best one of the retraining, or with
    folds, of which the retraining repeats the first, the best mean of the trial."""
    assert record.best is not None, "only completed trials are chosen"
    return record.best if session.plan.splits.folds else again.best


def retrain_plan(session: Session, plan: TrialPlan, record: TrialRecord) -> TrialPlan:
    """Return the plan of the retraining. With folds it ends after the trial's last evaluation, and
    not by patience, which counted the mean over folds in the trial."""
    if not session.plan.splits.folds:
        return plan
    trainer = plan.config.trainer.model_copy(update={"early_stopping_patience": None, "early_stopping_threshold": 0.0})
    config = plan.config.model_copy(update={"trainer": trainer})
    return replace(plan, config=config, total_steps=record.outcome.evals[-1].step)


def refit_plan(session: Session, plan: TrialPlan, best: EvalPoint) -> TrialPlan:
    """Return the plan of the refit: as many epochs as it took to the evaluation `best`."""
    splits = session.plan.splits
    rows, more = len(splits.train), len(splits.merged.train)
    return replace(plan, total_steps=refit_steps(best.step, rows, more, plan.config.trainer))


def _raise(failed: Failed, training: Training, kept: int) -> None:
    """`kept` is the step of the last snapshot; 0 without one."""
    done, plan = training.done, training.plan
    if failed.reason is FailureReason.INTERRUPTED:
        where = f", after step {kept:,} of {plan.total_steps:,}" if kept else ""
        raise Interrupted(f"stopped while trial {plan.number} was {done}; the same command goes on from here{where}.")
    advice = f". All trials are kept. {ADVICE}." if failed.reason is FailureReason.OUT_OF_MEMORY else ""
    raise UserError.of("", f"the winner could not be {done}: {failed.reason}: {failed.message}{advice}")
