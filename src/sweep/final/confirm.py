"""The winner, chosen on validation, retrained from scratch and evaluated once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.config.schema import Scalar
from sweep.config.secrets import shown
from sweep.errors import UserError
from sweep.final.candidates import confirmed
from sweep.final.files import write_confusion, write_predictions
from sweep.final.reading import baselines, decisions, read_test
from sweep.final.retrain import retrained, watched
from sweep.final.watch import Watch
from sweep.model.account import count
from sweep.model.artifact import save
from sweep.records import Completed, Confirmation, Failed, FinalRecord, TrialPlan, TrialRecord
from sweep.store import Store
from sweep.study.session import Session
from sweep.track.tracker import Ending
from sweep.train.best import replace_folder
from sweep.train.trial import Trained


@dataclass(frozen=True, slots=True)
class Chosen:
    """A trial to retrain, the folder that its final record goes to, and the fresh seeds that spoke for it. `method` is
    None but in a group run."""

    record: TrialRecord
    confirmation: Confirmation | None
    folder: Path
    method: Scalar


def confirm(session: Session, trials: Sequence[TrialRecord]) -> FinalRecord:
    """Retrain the winner with its exact config and seed, and read the test split with the result; in a group run, do
    so with each method's best.

    Everything is chosen before the test split is read. What was trained and tested already is not again. Raises
    UserError if no trial completed, and Interrupted after Ctrl-C.
    """
    with session.view:
        chosen = choose(session, trials)
        _settle(session.store, chosen)
        for one in chosen:
            _finish(session, one, [other.record.number for other in chosen])
        _refresh(session.store, chosen)
    record = session.store.final()
    assert record is not None
    return record


def choose(session: Session, trials: Sequence[TrialRecord]) -> list[Chosen]:
    """The winner first, then, in a group run, the best of each other method. Reads no test row."""
    groups = session.ranked(trials)
    if not groups:
        reasons = ", ".join(f"trial {record.number} {record.state}" for record in trials)
        rule = "no trial completed, so there is no winner to retrain"
        raise UserError.of("", f"{rule}: {reasons or 'study.timeout left no time for one'}")
    _say_missing(session, groups)
    leaders = {method: _leader(session, ranked) for method, ranked in groups.items()}
    first = _winner(session, leaders)
    order = sorted(leaders, key=lambda method: method != first)
    store = session.store
    return [
        Chosen(*leaders[method], store.final_dir if method == first else store.method_dir(method), method)
        for method in order
    ]


def _leader(session: Session, ranked: Sequence[TrialRecord]) -> tuple[TrialRecord, Confirmation | None]:
    confirmation = confirmed(session, ranked)
    if confirmation is None:
        return ranked[0], None
    number = confirmation.candidates[0].number
    return next(record for record in ranked if record.number == number), confirmation


def _winner(session: Session, leaders: Mapping[Scalar, tuple[TrialRecord, Confirmation | None]]) -> Scalar:
    """The method whose best is best: by the mean over fresh seeds where there are any, else by the trial's score."""
    objective = session.plan.config.study.objective

    def standing(method: Scalar) -> tuple[bool, float]:
        record, confirmation = leaders[method]
        assert record.best is not None, "only completed trials lead"
        first = confirmation.candidates[0] if confirmation else None
        score = first.mean if first else objective.of(record.best.metrics)
        failed = first is not None and (first.failed > 0 or score is None)
        return failed, -objective.gain(score or 0.0, 0.0)

    return min(leaders, key=standing)


def _say_missing(session: Session, groups: Mapping[Scalar, object]) -> None:
    key = session.plan.config.study.compare_by
    absent = [method for method in session.plan.space.methods(key) if method not in groups] if key else []
    if absent:
        session.view.say(f"no trial completed with {key} {', '.join(map(str, absent))}: not part of the comparison")


def _settle(store: Store, chosen: Sequence[Chosen]) -> None:
    """Move what an earlier end of this study left to where it belongs now, and drop what was not chosen again. A record
    on its way is found again, wherever a killed process left it."""
    wanted = {one.record.number: one.folder for one in chosen}
    found = {record.number: folder for folder, record in store.finals().items()}
    for number, folder in found.items():
        if number not in wanted and folder != store.final_dir:  # an earlier winner stays until there is another one
            shutil.rmtree(folder)
    moving = {number: folder for number, folder in found.items() if wanted.get(number, folder) != folder}
    for number, folder in moving.items():
        aside = store.method_dir(f".moving-{number}")
        aside.parent.mkdir(exist_ok=True)
        moving[number] = folder.replace(aside)
    for number, folder in moving.items():
        shutil.rmtree(wanted[number], ignore_errors=True)
        folder.replace(wanted[number])


def _refresh(store: Store, chosen: Sequence[Chosen]) -> None:
    """A record that was kept from an earlier end tells of fresh seeds and test readings since."""
    readings = store.test_readings()
    for one in chosen:
        known = store.final(one.folder)
        assert known is not None, "every chosen trial was retrained and tested"
        fresh = replace(known, confirmation=one.confirmation, test_readings=readings)
        if fresh != known:
            store.write_final(fresh, folder=one.folder)


def _finish(session: Session, one: Chosen, together: Sequence[int]) -> None:
    known, store = session.store.final(one.folder), session.store
    if known is not None and known.trial_evals == one.record.outcome.evals:
        session.view.say(f"trial {known.number} was retrained and tested already; the test split is not read again")
        return
    plan = session.plan.trial(one.record.number, one.record.params)
    which = "" if one.method is None else f"{one.method}, "
    title = f"final: {which}trial {plan.number} again, from scratch"
    with watched(session, plan, title) as watch:
        with retrained(session, plan, watch) as result:
            record = _tested(session, one, Retraining(plan, result, watch), together)
        best = {f"best/{name}": value for name, value in record.retrain_best.metrics.items()}
        summary: dict[str, float | int | str] = {
            "optuna/number": plan.number,
            **record.cost.account,
            **record.test,
            **best,
        }
        model = one.folder / "model" if one.folder == store.final_dir else None
        watch.run.log(record.cost.steps, record.test)
        watch.run.finish(Ending("completed", summary=summary, artifact=model))


@dataclass(frozen=True, slots=True)
class Retraining:
    plan: TrialPlan
    result: Trained
    watch: Watch

    @property
    def outcome(self) -> Completed:
        """Raises UserError where the retraining failed."""
        match self.result.outcome:
            case Completed() as outcome:
                return outcome
            case Failed(reason=reason, message=message):
                raise UserError.of("", f"the winner could not be retrained: {reason}: {message}")
            case _:
                raise AssertionError("nothing prunes a retraining")


def _tested(session: Session, one: Chosen, again: Retraining, together: Sequence[int]) -> FinalRecord:
    config, splits, outcome = again.plan.config, session.plan.splits, again.outcome
    assert one.record.best is not None, "only completed trials are chosen"
    decided = decisions(session, config, again.result)
    readings = session.store.note_test_reading(one.record.number, together)
    reading = read_test(session, config, again.result, decided)
    record = FinalRecord(
        number=one.record.number, params=one.record.params, command=one.record.command,
        trial_best=one.record.best, retrain_best=outcome.best,
        trial_evals=one.record.outcome.evals, retrain_evals=outcome.evals,
        test=reading.metrics, test_seconds=reading.predictions.seconds, test_rows=len(reading.rows),
        baseline=baselines(splits, reading.rows), cost=outcome.cost, parameters=count(again.result.model),
        label_names=splits.labels.names, confusion=reading.confusion, config=shown(config),
        tracker_run=again.watch.run.address, test_readings=readings, thresholds=decided.thresholds,
        tuned=decided.validation, untuned=reading.untuned, confirmation=one.confirmation, before=reading.before,
    )  # fmt: skip

    def write(folder: Path) -> None:
        write_predictions(folder / "predictions.csv", reading, splits.labels)
        write_confusion(folder / "confusion.csv", record)
        measured = {**outcome.best.metrics, **record.test}
        model, tokenizer = again.result.model, again.result.tokenizer
        save(
            model, tokenizer, folder / "model", config=config, labels=splits.labels, metrics=measured,
            thresholds=decided.thresholds,
        )  # fmt: skip
        session.store.write_final(record, again.watch.rows, folder)

    # As a whole: an earlier winner's files never stand beside this one's.
    replace_folder(one.folder, write)
    return record
