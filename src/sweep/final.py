"""The winner, retrained from scratch and evaluated once: the only reader of the test split."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

from sweep.config.secrets import shown
from sweep.data.labels import LabelSpace
from sweep.data.splits import Rows, Splits, baseline
from sweep.data.tokenise import tokenise
from sweep.errors import Interrupted, UserError
from sweep.model.account import count
from sweep.model.artifact import save
from sweep.records import (
    Completed,
    EvalPoint,
    Failed,
    FailureReason,
    FinalRecord,
    Metrics,
    Step,
    TrialPlan,
    TrialRecord,
    Verdict,
)
from sweep.study.session import Session
from sweep.track.tracker import Ending, JobType, Run
from sweep.train.best import replace_folder
from sweep.train.evaluation import Predictions, measure
from sweep.train.metrics import Labels, Scores, decide, score
from sweep.train.trial import Trained, trained


def confirm(session: Session, trials: Sequence[TrialRecord]) -> FinalRecord:
    """Retrain the best trial with its exact config and seed, and read the test split with the result.

    A winner that is confirmed already is not trained again, and the test split is not read again. Raises UserError if
    no trial completed, and Interrupted after Ctrl-C.
    """
    winner, known = session.best(), session.store.final()
    if winner is None:
        reasons = ", ".join(f"trial {record.number} {record.state}" for record in trials)
        rule = (
            f"no trial completed, so there is no winner to retrain: {reasons or 'study.timeout left no time for one'}"
        )
        raise UserError.of("", rule)
    if known is not None and known.number == winner.number:
        session.view.say(f"trial {winner.number} is confirmed already; the test split is not read again")
        return known
    plan = session.plan.trial(winner.number, winner.params)
    with session.view, _run(session, plan) as run:
        record = _confirmed(session, winner, plan, _Watch(session, run))
        run.log(record.cost.steps, record.test)
        best = {f"best/{name}": value for name, value in record.retrain_best.metrics.items()}
        summary: dict[str, float | int | str] = {"optuna/number": winner.number, **record.test, **best}
        run.finish(Ending("completed", summary=summary, artifact=session.store.final_dir / "model"))
    return record


@dataclass(slots=True)
class _Watch:
    """Follows the retraining: the same rows to the dashboard as a trial's, and no pruning."""

    session: Session
    run: Run
    rows: list[Step | EvalPoint] = field(default_factory=list)

    def step(self, step: Step) -> Verdict:
        if step.metrics:
            self.rows.append(step)
            self.run.log(step.step, step.metrics)
        self.session.view.step(step)
        return Verdict.INTERRUPT if self.session.stop.raised else Verdict.CONTINUE

    def evaluated(self, point: EvalPoint) -> Verdict:
        self.rows.append(point)
        self.run.log(point.step, point.metrics)
        self.session.view.evaluated(point)
        return Verdict.INTERRUPT if self.session.stop.raised else Verdict.CONTINUE


@contextmanager
def _run(session: Session, plan: TrialPlan) -> Iterator[Run]:
    """The retraining's run on the dashboard, ended as failed by whatever ends the retraining early."""
    run = session.tracker.open(plan, JobType.FINAL)
    session.view.begin(plan, f"final: trial {plan.number} again, from scratch")
    try:
        yield run
    except BaseException as error:
        state = "interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "crashed"
        run.finish(Ending(state))
        raise


def _confirmed(session: Session, winner: TrialRecord, plan: TrialPlan, watch: _Watch) -> FinalRecord:
    assert isinstance(winner.outcome, Completed)
    splits = session.plan.splits
    with trained(
        plan, bench=session.bench, data=session.data, on_step=watch.step, on_eval=watch.evaluated, best_dir=None
    ) as result:
        outcome = _completed(result)
        readings = session.store.note_test_reading(winner.number)
        rows, predictions = _read_test(session, result, plan)
        test = measure(splits.labels.task, predictions, "test")
        decided = decide(splits.labels.task, predictions.scores)
        record = FinalRecord(
            number=winner.number, params=winner.params, command=winner.command,
            trial_best=winner.outcome.best, retrain_best=outcome.best,
            trial_evals=winner.outcome.evals, retrain_evals=outcome.evals,
            test=test, test_seconds=predictions.seconds, test_rows=len(rows), baseline=_baselines(splits, rows),
            cost=outcome.cost, parameters=count(result.model), label_names=splits.labels.names,
            confusion=_confusion(decided, predictions.labels, splits.labels), tracker_run=watch.run.address,
            test_readings=readings, config=shown(plan.config),
        )  # fmt: skip

        def write(folder: Path) -> None:
            _write_predictions(folder / "predictions.csv", rows, predictions, splits.labels)
            _write_confusion(folder / "confusion.csv", record)
            measured = {**outcome.best.metrics, **test}
            model, tokenizer = result.model, result.tokenizer
            save(model, tokenizer, folder / "model", config=plan.config, labels=splits.labels, metrics=measured)
            session.store.write_final(record, watch.rows, folder)

        # As a whole: an earlier winner's files never stand beside this one's.
        replace_folder(session.store.final_dir, write)
    return record


def _completed(result: Trained) -> Completed:
    match result.outcome:
        case Completed() as outcome:
            return outcome
        case Failed(message=message) as failed if failed.reason is not FailureReason.INTERRUPTED:
            raise UserError.of("", f"the winner could not be retrained: {failed.reason}: {message}")
        case _:
            raise Interrupted("stopped while the winner was retrained; the same command starts its retraining again.")


def _read_test(session: Session, result: Trained, plan: TrialPlan) -> tuple[Rows, Predictions]:
    locked = session.plan.splits.test
    if locked is None:
        raise UserError.of("dataset.test_split", "is null, but the winner is evaluated on it")
    rows = locked.open()
    length, cache = plan.config.dataset.max_length, session.data.cache
    return rows, result.predict(
        tokenise(rows, result.tokenizer, labels=session.plan.splits.labels, max_length=length, cache=cache)
    )


def _baselines(splits: Splits, test: Rows) -> Metrics:
    """What predicting the most frequent label of train, whatever the text, scores on validation and test."""
    found: dict[str, float] = {}
    for prefix, rows in (("eval", splits.validation), ("test", test)):
        predicted = np.asarray(baseline(splits.train, rows, splits.labels), dtype=np.int64)
        scores = score(splits.labels.task, predicted, np.asarray(rows.labels, dtype=np.int64))
        found |= {f"{prefix}/{name}": value for name, value in scores.items()}
    return found


def _confusion(decided: Labels, truth: Labels, labels: LabelSpace) -> tuple[tuple[int, ...], ...]:
    if labels.task == "single_label":
        matrix = confusion_matrix(truth, decided, labels=range(len(labels)))
    else:
        matrix = multilabel_confusion_matrix(truth, decided).reshape(len(labels), 4)
    return tuple(tuple(int(cell) for cell in row) for row in matrix)


def _write_predictions(path: Path, rows: Rows, predictions: Predictions, labels: LabelSpace) -> None:
    """One line a test row. The confidence is of the predicted label; for multi-label, of the least sure decision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    decided = decide(labels.task, predictions.scores)
    sure = _confidence(predictions.scores, labels)
    texts = zip(rows.texts, rows.pairs, strict=True) if rows.pairs else ((text,) for text in rows.texts)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "text", *(["text_pair"] if rows.pairs else []), "label", "predicted", "confidence"])
        for index, text in enumerate(texts):
            named = (_names(predictions.labels[index], labels), _names(decided[index], labels))
            writer.writerow([index, *text, *named, f"{sure[index]:.6f}"])


def _confidence(scores: Scores, labels: LabelSpace) -> Scores:
    if labels.task == "single_label":
        return np.asarray(softmax(scores, axis=1).max(axis=1), dtype=np.float32)
    chances = expit(scores)
    return np.asarray(np.maximum(chances, 1 - chances).min(axis=1), dtype=np.float32)


def _names(value: Labels, labels: LabelSpace) -> str:
    if labels.task == "single_label":
        return labels.names[int(value)]
    return "|".join(name for name, on in zip(labels.names, value, strict=True) if on)


def _write_confusion(path: Path, record: FinalRecord) -> None:
    single = len(record.confusion[0]) == len(record.label_names) and len(record.confusion) == len(record.label_names)
    header = record.label_names if single else ("true_negative", "false_positive", "false_negative", "true_positive")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ predicted" if single else "label", *header])
        writer.writerows([name, *row] for name, row in zip(record.label_names, record.confusion, strict=True))
