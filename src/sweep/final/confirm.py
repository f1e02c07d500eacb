"""The choice of the winner on validation, its retraining from scratch, and its single evaluation
on the test split."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sweep.config.objective import Objective
from sweep.config.schema import Scalar
from sweep.errors import UserError
from sweep.final.candidates import confirmed
from sweep.final.finish import Chosen, finish
from sweep.final.progress import drop_all
from sweep.records.final import Confirmation, FinalRecord
from sweep.records.spent import limited, read_spent
from sweep.records.store import Store
from sweep.records.trial import TrialRecord
from sweep.study.feasibility import closest
from sweep.study.session import Session


def confirm(session: Session, trials: Sequence[TrialRecord]) -> FinalRecord:
    """Retrain the winner with its exact config and seed, refit it with `study.refit`, and evaluate
    it on the test split.

    With `study.compare_by` do so with the best trial of each compared value. Everything is chosen
    before the test split is read; models that were trained and tested by an earlier run are kept.
    Return the record of the winner. Raises UserError if no trial completed, and Interrupted after
    Ctrl-C.
    """
    with session.view:
        chosen = choose(session, trials)
        _arrange_folders(session.store, chosen)
        for one in chosen:
            finish(session, one, [other.record.number for other in chosen])
        _update_records(session.store, chosen)
        drop_all(session.store, say=session.view.say)
    record = session.store.final()
    assert record is not None
    return record


def choose(session: Session, trials: Sequence[TrialRecord]) -> list[Chosen]:
    """Return the winner, then the best trial of each other compared value. Reads no test row.

    Raises UserError if no trial completed; where some were beyond a limit, it names the smallest
    excess, and where a budget ended the search, the key and the number of paused trials.
    """
    groups = session.ended.groups(trials)
    if not groups:
        reasons = ", ".join(f"trial {record.number} {record.state}" for record in trials)
        if nearest := closest(trials, session.plan.config.study.limits):
            rule = f"no trial is feasible, so there is no winner to retrain; {nearest.message}"
            raise UserError.of(nearest.path, rule)
        rule, study = "no trial completed, so there is no winner to retrain", session.plan.config.study
        paused = len(session.store.paused_trials())
        if (paused or not reasons) and (key := _used_up(session)):
            count = f"{paused} trial{' is' if paused == 1 else 's are'} paused, and " if paused else ""
            raise UserError.of(key, f"is used up: {rule}; {count}the same command with a larger {key} goes on")
        if not reasons and study.timeout is not None:
            raise UserError.of(
                "study.timeout", f"is {study.timeout:g}: {rule}; the same command with more seconds goes on"
            )
        raise UserError.of("", f"{rule}: {reasons or 'none has ended'}")
    _say_missing(session, groups)
    leaders = {choice: _leader(session, ranked) for choice, ranked in groups.items()}
    first = _winner(session, leaders)
    order = sorted(leaders, key=lambda choice: choice != first)
    store, compared = session.store, session.plan.config.study.compare_by
    return [
        Chosen(*leaders[choice], store.final_dir if choice == first else store.choice_dir(choice), choice, compared)
        for choice in order
    ]


def _used_up(session: Session) -> str:
    """Return the first key of the budget of which nothing is left; empty where there is none."""
    spent = read_spent(session.store.root)
    amounts = limited(session.plan.config.study.budget, spent) if spent else ()
    return next((f"study.budget.{amount.key}" for amount in amounts if not amount.left), "")


def _leader(session: Session, ranked: Sequence[TrialRecord]) -> tuple[TrialRecord, Confirmation | None]:
    confirmation = confirmed(session, ranked)
    if confirmation is None:
        return ranked[0], None
    number = confirmation.candidates[0].number
    return next(record for record in ranked if record.number == number), confirmation


def _winner(session: Session, leaders: Mapping[Scalar, tuple[TrialRecord, Confirmation | None]]) -> Scalar:
    """Return the compared value with the best trial: by the mean over fresh seeds if there are
    any, else by the trial's score.

    Ties are broken as between trials: by `eval/loss`, by the number of trained parameters, by the
    order of the points.
    """
    objective = session.plan.config.study.objective
    order = _order_of_two(objective, leaders.values()) if objective.second else None

    def sort_key(choice: Scalar) -> tuple[bool, float, float, int, tuple[int, int]]:
        record, confirmation = leaders[choice]
        assert record.best is not None, "only completed trials lead"
        first = confirmation.candidates[0] if confirmation else None
        score = first.mean if first else objective.of(record.best.metrics)
        failed = first is not None and (first.failed > 0 or score is None)
        if order is not None:
            return failed, order.index(record.number), 0.0, 0, record.rank
        loss, size = objective.key(record.best.metrics)[1], record.outcome.cost.trained_parameters
        return failed, -objective.gain(score or 0.0, 0.0), loss, size, record.rank

    return min(leaders, key=sort_key)


def _order_of_two(objective: Objective, leaders: Iterable[tuple[TrialRecord, Confirmation | None]]) -> list[int]:
    """Return the numbers of the trials in the order of two objectives. The first one's value is
    the mean over fresh seeds if there are any."""
    second = objective.second
    assert second is not None

    def first_value(leader: tuple[TrialRecord, Confirmation | None]) -> float:
        record, confirmation = leader
        mean = confirmation.candidates[0].mean if confirmation else None
        return record.value(objective) if mean is None else mean

    in_order = objective.chosen_first(leaders, first_value, lambda leader: leader[0].value(second))
    return [record.number for record, _ in in_order]


def _say_missing(session: Session, groups: Mapping[Scalar, object]) -> None:
    key = session.plan.config.study.compare_by
    absent = [choice for choice in session.plan.space.choices(key) if choice not in groups] if key else []
    if absent:
        session.view.say(f"no trial completed with {key} {', '.join(map(str, absent))}: not part of the comparison")


def _arrange_folders(store: Store, chosen: Sequence[Chosen]) -> None:
    """Move the final folders of an earlier run to where they belong now, and delete those of
    trials that were not chosen again. A folder that a killed process left in the middle of a move
    is found by its record."""
    wanted = {one.record.number: one.folder for one in chosen}
    found = {record.number: folder for folder, record in store.finals().items()}
    for number, folder in found.items():
        if (
            number not in wanted and folder != store.final_dir
        ):  # an earlier winner is kept until the new one is finished
            shutil.rmtree(folder)
    moving = {number: folder for number, folder in found.items() if wanted.get(number, folder) != folder}
    for number, folder in moving.items():
        aside = store.choice_dir(f".moving-{number}")
        aside.parent.mkdir(exist_ok=True)
        moving[number] = folder.replace(aside)
    for number, folder in moving.items():
        shutil.rmtree(wanted[number], ignore_errors=True)
        folder.replace(wanted[number])


def _update_records(store: Store, chosen: Sequence[Chosen]) -> None:
    """Write the newest confirmation and number of test readings to records that an earlier run
    wrote."""
    readings = store.test_readings()
    for one in chosen:
        known = store.final(one.folder)
        assert known is not None, "every chosen trial was retrained and tested"
        fresh = replace(known, confirmation=one.confirmation, test_readings=readings)
        if fresh != known:
            store.write_final(fresh, folder=one.folder)
