"""The last steps of a chosen trial: retrain it, refit it with `study.refit`, test it once and save
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sweep.config.metrics import means_alone, recorded_metrics
from sweep.config.schema import Scalar
from sweep.config.secrets import shown
from sweep.config.steps import total_steps
from sweep.engine.best_weights import replace_folder
from sweep.final.files import write_confusion, write_predictions
from sweep.final.final_model import FinalModel, with_model
from sweep.final.local_model import Saving, Training
from sweep.final.out_of_fold import fitted_to, out_of_fold
from sweep.final.reading import Decisions, baselines, decisions, read_test, shares
from sweep.final.retrain import refit_plan, retrain_plan, scored, train, watched
from sweep.final.training_listener import TrainingListener
from sweep.records.final import Confirmation, FinalRecord, Refit, RetrainRecord
from sweep.records.same_rows import same_rows
from sweep.records.snapshots import refit_key, retrain_key
from sweep.records.store import Store, refit_dir
from sweep.records.trial import Completed, EvalPoint, Step, TrialPlan, TrialRecord
from sweep.study.session import Session
from sweep.track.tracker import CutRun, Ending, JobType

Logged = Sequence[Step | EvalPoint]
Summary = dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A trial to retrain, the folder of its final record, and the ranking over fresh seeds by
    which it was chosen.

    `choice` is its value of the key `compared` (`study.compare_by`); both are None without one.
    """

    record: TrialRecord
    confirmation: Confirmation | None
    folder: Path
    choice: Scalar
    compared: str | None = None

    @property
    def title(self) -> str:
        """Return the name of the trial in lines for the user."""
        which = f" ({self.compared}={self.choice})" if self.compared else ""
        return f"trial {self.record.number}{which}"


@dataclass(slots=True)
class NotedReading:
    """The reading of one chosen model, which is noted once, before it happens.

    Where a worker is lost in the middle, the same rows go to the same model on another one, and
    nobody saw a result: that is the same reading.
    """

    store: Store
    number: int
    together: Sequence[int]
    count: int = 0  # of all readings; 0 before this one

    def note(self) -> int:
        """Return the number of readings, this one included."""
        self.count = self.count or self.store.note_test_reading(self.number, self.together)
        return self.count


@dataclass(frozen=True, slots=True)
class Kept:
    """The model to test and save, and the logged rows of its trainings.

    Without `refit` it is the retrained model.
    """

    plan: TrialPlan
    model: FinalModel
    again: RetrainRecord
    rows: Logged
    refit: Refit | None = None
    refit_rows: Logged = ()


def finish(session: Session, one: Chosen, together: Sequence[int]) -> None:
    """Train, test and save a chosen trial, unless its folder holds a final record of the same
    trial and kind.

    `together` are the numbers of all chosen trials, which share one reading of the test split.
    Raises Interrupted after Ctrl-C, and UserError if a training fails.
    """
    refit, known = session.plan.config.refits, _known(session, one)
    if known is not None and (known.refit is not None) == refit:
        done = "retrained, refitted" if refit else "retrained"
        session.view.say(f"trial {known.number} was {done} and tested already; the test split is not read again")
        _complete_runs(session, one, known)
        return
    plan = session.plan.again(one.record)
    if refit:
        again = _retrained_before(session, one, known) or _retrain_and_keep(session, one, plan)
        _refit_and_test(session, one, plan, again, together)
    else:
        _retrain_and_test(session, one, plan, together)


def _retrain_and_test(session: Session, one: Chosen, plan: TrialPlan, together: Sequence[int]) -> None:
    with watched(session, retrain_key(plan.number), plan, f"final: {one.title} again, from scratch") as watch:
        reading = NotedReading(session.store, plan.number, together)

        def work(model: FinalModel) -> FinalRecord:
            again = _retrained(session, one, plan, watch, model)
            return _tested(session, one, Kept(plan, model, again, watch.rows), reading)

        record = with_model(session, work, watch)
        watch.run.log(record.cost.steps, record.test)
        watch.run.finish(_ending(session, one, record))
        watch.drop()


def _retrain_and_keep(session: Session, one: Chosen, plan: TrialPlan) -> RetrainRecord:
    """Retrain the trial, write the record and return it, so that after a stop only the refit is
    left."""
    plan, fold = retrain_plan(session, plan, one.record), ", on the first fold" if session.plan.splits.folds else ""
    with watched(session, retrain_key(plan.number), plan, f"final: {one.title} again, from scratch{fold}") as watch:
        again = with_model(session, partial(_retrained, session, one, plan, watch), watch)
        session.store.write_retraining(again, watch.rows)
        watch.run.finish(_ending_before_refit(again))
        watch.drop()
    return again


def _complete_runs(session: Session, one: Chosen, known: FinalRecord) -> None:
    """Complete the tracker's runs that a killed process left open after writing the record."""
    kind, address, folder = JobType.FINAL, known.tracker_run, one.folder
    if known.refit is not None:
        _complete_retraining(session, known.retraining, one.folder, known.params)
        kind, address, folder = JobType.REFIT, known.refit.tracker_run, refit_dir(one.folder)
    if session.tracker.left_open(address):
        steps = known.costs[-1].steps
        rows = [*session.store.final_events(folder), Step(steps, steps, 0.0, known.test)]
        session.tracker.complete(CutRun(kind, address, known.number, _ending(session, one, known), rows, known.params))


def _complete_retraining(session: Session, again: RetrainRecord, folder: Path, params: Mapping[str, Scalar]) -> None:
    if session.tracker.left_open(again.tracker_run):
        rows, ending = session.store.final_events(folder), _ending_before_refit(again)
        session.tracker.complete(CutRun(JobType.FINAL, again.tracker_run, again.number, ending, rows, params))


def _packed(one: Chosen) -> bool:
    return one.record.outcome.cost.engine == "packed"


def _known(session: Session, one: Chosen) -> FinalRecord | None:
    """Return the final record of the same trial that an earlier run wrote."""
    known = session.store.final(one.folder)
    if known is None or known.number != one.record.number:
        return None
    return known if same_rows(known.trial_evals, one.record.outcome.evals) else None


def _retrained_before(session: Session, one: Chosen, known: FinalRecord | None) -> RetrainRecord | None:
    """Return an earlier retraining of the trial: before a stop, or of a model that was tested
    without a refit."""
    store = session.store
    if known is not None:
        store.write_retraining(known.retraining, store.final_events(one.folder))
    again = store.retraining(one.record.number)
    if again is None or not same_rows(again.trial_evals, one.record.outcome.evals):
        return None
    session.view.say(f"trial {again.number} was retrained already; what is left is its refit")
    _complete_retraining(session, again, store.retrain_dir(again.number), one.record.params)
    return again


def _refit_and_test(
    session: Session, one: Chosen, plan: TrialPlan, again: RetrainRecord, together: Sequence[int]
) -> None:
    best, folds = scored(session, one.record, again), bool(session.plan.splits.folds)
    rows, plan = len(session.plan.splits.merged.train), refit_plan(session, plan, best)
    whole = total_steps(rows, plan.config.trainer)
    which, judged = ("all train rows", "the trial") if folds else ("train and validation rows", "the retraining")
    title, reading = f"refit: {one.title} on {which}", NotedReading(session.store, plan.number, together)
    with watched(session, refit_key(plan.number), plan, title, JobType.REFIT) as watch:
        session.view.say(f"  {rows:,} rows; {plan.total_steps:,} of the {whole:,} steps of its schedule, "
                         f"for {judged} was best at epoch {best.epoch:.4g}")  # fmt: skip

        def work(model: FinalModel) -> FinalRecord:
            end = train(model, Training(plan, as_packed=_packed(one), refit=True), watch)
            refit = Refit(rows, plan.total_steps, whole, end.cost, watch.run.address)
            logged = session.store.final_events(session.store.retrain_dir(plan.number))
            return _tested(session, one, Kept(plan, model, again, logged, refit, watch.rows), reading)

        record = with_model(session, work, watch)
        watch.run.log(plan.total_steps, record.test)
        watch.run.finish(_ending(session, one, record))
        watch.drop()


def _retrained(
    session: Session, one: Chosen, plan: TrialPlan, watch: TrainingListener, model: FinalModel
) -> RetrainRecord:
    outcome = train(model, Training(plan, as_packed=_packed(one)), watch).outcome
    assert isinstance(outcome, Completed), "nothing prunes a retraining, and one that failed does not come here"
    decided = decisions(
        session.plan.splits.labels, plan.config, lambda: fitted_to(session, plan.config, plan.number, model),
        say=session.view.say,
    )  # fmt: skip
    return RetrainRecord(
        number=plan.number, trial_evals=one.record.outcome.evals, best=outcome.best, evals=outcome.evals,
        cost=outcome.cost, thresholds=decided.thresholds, tuned=decided.validation, tracker_run=watch.run.address,
        as_packed=_packed(one), calibration=decided.calibration,
    )  # fmt: skip


def _tested(session: Session, one: Chosen, kept: Kept, noted: NotedReading) -> FinalRecord:
    config, splits, again = kept.plan.config, session.plan.splits, kept.again
    assert one.record.best is not None, "only completed trials are chosen"
    decided = Decisions(again.thresholds, bool(again.tuned), again.tuned, again.calibration)
    folded = out_of_fold(session, config, again.number, decided)
    readings = noted.note()
    reading = read_test(session, config, kept.model, decided)
    record = FinalRecord(
        number=one.record.number, params=one.record.params, command=kept.plan.command,
        trial_best=one.record.best, retrain_best=again.best,
        trial_evals=one.record.outcome.evals, retrain_evals=again.evals,
        test=reading.metrics, test_seconds=reading.predictions.seconds, test_rows=len(reading.rows),
        baseline=baselines(splits, reading.rows, recorded_metrics(config)), train_shares=shares(splits.all_train, splits.labels),
        cost=again.cost, parameters=kept.model.parameters(),
        label_names=splits.labels.names, confusion=reading.confusion, config=shown(config),
        tracker_run=again.tracker_run, test_readings=readings, thresholds=again.thresholds,
        tuned=again.tuned, untuned=reading.untuned, confirmation=one.confirmation, before=reading.before,
        refit=kept.refit, as_packed=again.as_packed, calibration=reading.calibration,
        out_of_fold=folded.confusion if folded else (),
    )  # fmt: skip

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.csv", reading, splits.labels)
        write_confusion(folder / "confusion.csv", splits.labels, record.confusion)
        if folded:
            write_predictions(folder / "out_of_fold.csv", folded, splits.labels)
        metrics = {**means_alone(scored(session, one.record, again).metrics), **record.test}
        temperature = None if again.calibration is None else again.calibration.temperature
        kept.model.save(folder / "model", Saving(config, metrics, again.thresholds, kept.refit, temperature))
        session.store.write_final(record, kept.rows, folder, kept.refit_rows)

    # The folder is replaced as a whole, so that no file of an earlier winner remains.
    replace_folder(one.folder, write)
    return record


def _ending(session: Session, one: Chosen, record: FinalRecord) -> Ending:
    """Return the ending of the run whose model was tested and saved."""
    best = {} if record.refit else _best(record.retraining)
    summary = {"optuna/number": record.number, **record.costs[-1].account, **record.test, **best}
    return Ending("completed", summary=summary, artifact=_artifact(session, one))


def _ending_before_refit(again: RetrainRecord) -> Ending:
    return Ending("completed", summary={"optuna/number": again.number, **again.cost.account, **_best(again)})


def _best(again: RetrainRecord) -> Summary:
    return {f"best/{name}": value for name, value in again.best.metrics.items()}


def _artifact(session: Session, one: Chosen) -> Path | None:
    return one.folder / "model" if one.folder == session.store.final_dir else None
