"""Training of the best configurations with fresh seeds, by the same engine as the trials."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sweep.config.schema import Scalar
from sweep.errors import Interrupted
from sweep.final.progress import kept_rows
from sweep.final.training_listener import TrainingListener
from sweep.provenance import Fingerprint
from sweep.records.final import Repeat
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import confirm_key
from sweep.records.trial import (
    Completed,
    EvalPoint,
    Failed,
    FailureReason,
    Outcome,
    Step,
    TrialPlan,
    TrialRecord,
    Verdict,
)
from sweep.study.losses import Losses
from sweep.study.memory_prediction import Forecasts
from sweep.study.session import Session
from sweep.track.tracker import CutRun, Ending, JobType

SEED_KEY = "trainer.seed"


def repeated(session: Session, records: Sequence[TrialRecord]) -> dict[int, list[Repeat]]:
    """Return `study.confirm_seeds` repeats of each trial, by its number. Repeats of an earlier run
    are kept.

    Raises Interrupted after Ctrl-C; the repeats that have ended are kept, and the others go on
    from their snapshots.
    """
    forecasts = Forecasts.recorded(session)
    due = [one for record in records for one in _due(session, record, forecasts)]
    if missing := [one for one in due if one.known(session) is None]:
        loop = _Loop(session, deque(missing))
        with loop.end_runs_on_error():
            session.engine(len(missing)).run(loop.next, loop.step, loop.evaluated, loop.ended, loop.snapshot)
        if session.stop.raised:
            raise Interrupted("stopped while fresh seeds were trained; the same command goes on from here.")
    found: dict[int, list[Repeat]] = {record.number: [] for record in records}
    for one in due:
        made = one.known(session)
        assert made is not None, "the engine ends every trial that it pulls"
        if session.tracker.left_open(made.tracker_run):
            _complete(session, one, made)
        found[one.plan.number].append(made)
    return found


def fresh_seed(study_seed: int, point: Mapping[str, Scalar], index: int, taken: int) -> int:
    """Return the seed of the `index`-th repeat of a point; never the seed of its trial (`taken`).

    It does not depend on the trial's number, which changes when a stopped trial is retried.
    """
    named = json.dumps(sorted(point.items()))
    return _drawn(Fingerprint().add("confirm").add(str(study_seed)).add("point").add(named).add(str(index)), taken)


def seed_by_number(study_seed: int, number: int, index: int, taken: int) -> int:
    """Return the seed of the `index`-th repeat in earlier versions.

    Repeats that were trained with it still count.
    """
    return _drawn(Fingerprint().add("confirm").add(str(study_seed)).add(str(number)).add(str(index)), taken)


def _drawn(digest: Fingerprint, taken: int) -> int:
    drawn = int(digest.hex()[:8], 16)
    return drawn if drawn != taken else (drawn + 1) % 2**32


@dataclass(frozen=True, slots=True)
class _Due:
    """A training of one trial with one fresh seed: number `index` of `of`."""

    plan: TrialPlan
    index: int
    of: int
    earlier_seed: int

    @property
    def title(self) -> str:
        return f"trial {self.plan.number} again, fresh seed {self.index} of {self.of}"

    @property
    def name(self) -> str:
        """Return the key of its progress."""
        return confirm_key(self.plan.number, self.index)

    def known(self, session: Session) -> Repeat | None:
        found = session.store.repeat(self.plan.number, self.index)
        return found if found is not None and found.seed in (self.plan.config.trainer.seed, self.earlier_seed) else None


def _due(session: Session, record: TrialRecord, forecasts: Forecasts) -> Iterator[_Due]:
    study = session.plan.config.study
    own = session.plan.again(record).config.trainer.seed
    for index in range(1, study.confirm_seeds + 1):
        plan = session.plan.again(record, {SEED_KEY: fresh_seed(study.seed, record.params, index, own)})
        # The search has saved the adapter of the trial; those of its repeats are not saved.
        trainer = plan.config.trainer.model_copy(update={"save_best": False, "save_newest": False})
        plan = forecasts.with_share(replace(plan, config=plan.config.model_copy(update={"trainer": trainer})))
        yield _Due(plan, index, study.confirm_seeds, seed_by_number(study.seed, record.number, index, own))


@dataclass(slots=True)
class _Loop:
    """The callbacks of the engine, and the state between them."""

    session: Session
    remaining: deque[_Due]
    running: dict[tuple[int, int], tuple[_Due, TrainingListener]] = field(default_factory=dict)
    stopped: dict[tuple[int, int], TrainingListener] = field(default_factory=dict)  # to go on in this process
    losses: dict[tuple[int, int], Losses] = field(default_factory=dict)

    def next(self) -> TrialPlan | None:
        if self.session.stop.raised or not self.remaining:
            return None
        due = self.remaining.popleft()
        watch = self.stopped.pop(due.plan.key, None)
        if watch is None:
            watch = TrainingListener.begin(self.session, due.name, due.plan, due.title, JobType.CONFIRM)
        else:
            self.session.view.begin(due.plan, due.title, since=watch.kept_step())
        self.running[due.plan.key] = due, watch
        return watch.resumed(due.plan)

    def step(self, plan: TrialPlan, step: Step) -> Verdict:
        return self.running[plan.key][1].step(step)

    def evaluated(self, plan: TrialPlan, point: EvalPoint) -> Verdict:
        return self.running[plan.key][1].evaluated(point)

    def ended(self, plan: TrialPlan, outcome: Outcome) -> None:
        """Record the end of a repeat, or let it go on where it was put away or its worker was
        lost."""
        due, watch = self.running.pop(plan.key)
        watch.over(outcome.cost.seconds)
        made = replace(_made(plan, outcome), tracker_run=watch.run.address)
        if self._goes_on(due, watch, outcome):
            self.stopped[due.plan.key] = watch
            self.remaining.appendleft(due)
        else:
            self.session.store.write_repeat(made, due.index)
            watch.drop_snapshot()
            watch.run.finish(Ending(_state(made), summary=_summary(made)))
        self.session.view.ended(due.title, _state(made), self._shown(made))

    def snapshot(self, plan: TrialPlan, snapshot: Snapshot) -> None:
        self.running[plan.key][1].snapshot(snapshot)

    def _goes_on(self, due: _Due, watch: TrainingListener, outcome: Outcome) -> bool:
        if not isinstance(outcome, Failed):
            return False
        lost = outcome.reason is FailureReason.LOST
        if lost:
            before = self.losses.get(due.plan.key, Losses())
            self.losses[due.plan.key] = before.and_one(watch.reached(), together=outcome.together)
        return outcome.reason is FailureReason.INTERRUPTED or (lost and not self.losses[due.plan.key].too_many)

    @contextmanager
    def end_runs_on_error(self) -> Iterator[None]:
        """End the open runs before an error is passed on."""
        try:
            yield
        except BaseException as error:
            for _, watch in self.running.values():
                watch.fail(error)
            raise

    def _shown(self, made: Repeat) -> str:
        objective = self.session.plan.config.study.objective
        return (
            f"{objective.metric} {objective.of(made.best.metrics):.4f}"
            if made.best
            else made.failure.partition(": ")[2]
        )


def _complete(session: Session, due: _Due, made: Repeat) -> None:
    """Complete a run that a killed process left open after it had recorded the repeat."""
    ending, rows = Ending(_state(made), summary=_summary(made)), kept_rows(session.store, due.name)
    session.tracker.complete(
        CutRun(JobType.CONFIRM, made.tracker_run, made.number, ending, rows, params=due.plan.params, seed=made.seed)
    )


def _state(made: Repeat) -> str:
    """Return how the repeat ended, as a `TrialRecord.state`."""
    return made.failure.partition(": ")[0] or "completed"


def _made(plan: TrialPlan, outcome: Outcome) -> Repeat:
    """Return the record of a repeat."""
    seed = plan.config.trainer.seed
    match outcome:
        case Completed(best=best):
            return Repeat(plan.number, seed, best, outcome.cost)
        case Failed(reason=reason, message=message):
            return Repeat(plan.number, seed, None, outcome.cost, failure=f"{reason}: {message}")
        case _:
            raise AssertionError("nothing prunes a repeat")


def _summary(made: Repeat) -> Mapping[str, float | int | str]:
    best = made.best.metrics if made.best else {}
    return {
        "optuna/number": made.number,
        **made.cost.account,
        **{f"best/{name}": value for name, value in best.items()},
    }
