"""Fresh seeds, on an engine whose scores are a formula plus the luck of the seed."""

from __future__ import annotations

import math
import os
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.toys import ToyEngine, session
from sweep.config.schema import Scalar
from sweep.engine.protocol import no_snapshot
from sweep.errors import Interrupted
from sweep.final.candidates import confirmed
from sweep.final.repeats import fresh_seed, seed_by_number
from sweep.records.cost import Cost
from sweep.records.final import Confirmation, Repeat
from sweep.records.memory import MemoryFacts, write_memory
from sweep.records.trial import EvalPoint, Failed, FailureReason, Outcome, TrialPlan
from sweep.study.search import search
from sweep.track.study_run import StudyRun
from sweep.track.tracker import JobType

SEARCH = ("study.n_trials=3", "study.pruner=none")


@dataclass
class Run:
    """`trained` are the repeats trained by this run, as trial number and seed."""

    confirmation: Confirmation | None
    trained: list[tuple[int, int]]
    files: Mapping[str, int]


def run(folder: Path, *overrides: str, engine: ToyEngine | None = None) -> Run:
    engine = engine or ToyEngine()
    with session(folder, *SEARCH, *overrides, engine=engine) as opened:
        records = search(opened)
        searched = len(engine.trained)
        (ranked,) = opened.ended.groups(records).values()
        try:
            found = confirmed(opened, ranked)
        finally:
            plans = engine.trained[searched:]
        files = {path.name: path.stat().st_mtime_ns for path in opened.store.root.glob("confirm/*.json")}
        return Run(found, [(plan.number, plan.config.trainer.seed) for plan in plans], files)


def order(folder: Path) -> list[int]:
    """The trials' numbers, best first."""
    with session(folder, *SEARCH) as opened:
        (ranked,) = opened.ended.groups(search(opened)).values()
        return [record.number for record in ranked]


def test_one_seed_is_the_trial_s_own_and_trains_nothing(tmp_path: Path) -> None:
    assert run(tmp_path) == Run(None, [], {})


def test_the_best_few_are_trained_with_seeds_of_their_own(tmp_path: Path) -> None:
    best = order(tmp_path)
    made = run(tmp_path, "study.confirm_seeds=3", "study.confirm_top=2")
    assert Counter(number for number, _ in made.trained) == {best[0]: 3, best[1]: 3}
    assert len({seed for _, seed in made.trained}) == 6
    assert set(made.files) == {f"{number:04d}-{index}.json" for number in best[:2] for index in (1, 2, 3)}
    assert made.confirmation is not None and made.confirmation.cost.seconds == 6.0


def test_several_at_once_are_the_same_repeats(tmp_path: Path) -> None:
    options = ("study.confirm_seeds=2", "study.confirm_top=2")
    one, many = run(tmp_path / "a", *options), ToyEngine(slots=3)
    found = run(tmp_path / "b", *options, engine=many)
    assert many.together[-1] == 1 and max(many.together) == 3
    assert (found.confirmation, sorted(found.trained)) == (one.confirmation, sorted(one.trained))


def test_repeats_are_told_of_the_workers_that_share_their_memory(tmp_path: Path) -> None:
    engine = ToyEngine()
    with session(tmp_path, *SEARCH, "study.confirm_seeds=2", engine=engine) as opened:
        records = search(opened)
        write_memory(opened.store.root, MemoryFacts("cpu", 2**34, 2**34, 0, "each worker has", workers=3))
        confirmed(opened, next(iter(opened.ended.groups(records).values())))
    assert [plan.workers for plan in engine.trained[3:]] == [3, 3, 3, 3, 3, 3]


def test_the_best_mean_leads_not_the_luckiest_trial(tmp_path: Path) -> None:
    best = order(tmp_path)
    unlucky = ToyEngine(luck=lambda trial: -1.0 if trial.number == best[0] and trial.config.trainer.seed else 0.0)
    found = run(tmp_path, "study.confirm_seeds=2", engine=unlucky).confirmation
    assert found is not None
    assert [one.number for one in found.candidates] == [best[1], best[2], best[0]]
    assert found.optimism == pytest.approx(1.0)
    last = found.candidates[2]
    assert (last.mean, last.failed) == (pytest.approx(last.trial_score - 1.0), 0)


def test_where_less_is_better_the_least_mean_leads(tmp_path: Path) -> None:
    options = ("study.metric=eval/loss", "study.direction=minimize", "study.confirm_seeds=2", "study.confirm_top=2")
    found = run(tmp_path, *options, engine=ToyEngine(luck=lambda trial: -0.5 if trial.config.trainer.seed else 0.0))
    assert found.confirmation is not None and found.confirmation.optimism == pytest.approx(0.5)
    first, second = found.confirmation.candidates
    assert first.mean is not None and second.mean is not None and first.mean < second.mean


def test_a_finished_repeat_is_not_trained_again_after_an_interrupt(tmp_path: Path) -> None:
    options = ("study.confirm_seeds=2", "study.confirm_top=2")
    whole = run(tmp_path / "a", *options)
    stopped: list[int] = []

    def interrupt(trial: TrialPlan, epoch: int) -> None:
        if trial.config.trainer.seed and epoch == 2:
            stopped.append(trial.number)
            if len(stopped) == 3:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="goes on from here"):
        run(tmp_path / "b", *options, engine=ToyEngine(interrupt))
    resumed = run(tmp_path / "b", *options)
    assert resumed.trained == whole.trained[2:]
    assert resumed.confirmation == whole.confirmation


def test_more_seeds_are_added_to_those_there_are(tmp_path: Path) -> None:
    first = run(tmp_path, "study.confirm_seeds=2", "study.confirm_top=1")
    more = run(tmp_path, "study.confirm_seeds=3", "study.confirm_top=2")
    assert Counter(number for number, _ in more.trained) == Counter(order(tmp_path)[:1] + order(tmp_path)[1:2] * 3)
    assert {name: more.files[name] for name in first.files} == first.files


def test_a_failed_repeat_puts_its_candidate_behind_and_is_not_tried_again(tmp_path: Path) -> None:
    best, failed = order(tmp_path), []

    def luck(trial: TrialPlan) -> float:
        if trial.number == best[0] and trial.config.trainer.seed and not failed:
            failed.append(trial.number)
            return math.nan
        return 0.0

    options = ("study.confirm_seeds=2", "study.confirm_top=2")
    found = run(tmp_path, *options, engine=ToyEngine(luck=luck)).confirmation
    assert found is not None
    behind = found.candidates[1]
    assert (behind.number, behind.failed, len(behind.scores), behind.interval) == (best[0], 1, 1, None)
    again = run(tmp_path, *options)
    assert (again.trained, again.confirmation) == ([], found)


def test_a_candidate_without_any_score_has_no_mean(tmp_path: Path) -> None:
    engine = ToyEngine(luck=lambda trial: math.nan if trial.config.trainer.seed else 0.0)
    found = run(tmp_path, "study.confirm_seeds=2", engine=engine).confirmation
    assert found is not None and found.optimism is None
    assert {(one.mean, one.interval, one.failed) for one in found.candidates} == {(None, None, 2)}


def test_a_bug_is_raised_and_keeps_what_ended(tmp_path: Path) -> None:
    best = order(tmp_path)

    def bug(trial: TrialPlan, epoch: int) -> None:
        if trial.config.trainer.seed and trial.number != best[0]:
            raise ZeroDivisionError("a bug")

    options = ("study.confirm_seeds=2", "study.confirm_top=2")
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, *options, engine=ToyEngine(bug))
    assert len(run(tmp_path, *options).trained) == 2


def test_fewer_completed_trials_than_asked_for_will_do(tmp_path: Path) -> None:
    found = run(tmp_path, "study.confirm_seeds=2", "study.confirm_top=9").confirmation
    assert found is not None and len(found.candidates) == 3


@dataclass
class LosingEngine(ToyEngine):
    """Loses the worker of the first `losses` repeats that it ends."""

    losses: int = 0

    def run(self, next_trial: Any, on_step: Any, on_eval: Any, on_end: Any, on_snapshot: Any = no_snapshot) -> None:
        def end(trial: TrialPlan, outcome: Outcome) -> None:
            if trial.config.trainer.seed and self.losses:
                self.losses -= 1
                outcome = Failed(FailureReason.LOST, "its worker on host died", (), Cost())
            on_end(trial, outcome)

        super().run(next_trial, on_step, on_eval, end, on_snapshot)


def test_a_repeat_that_lost_its_worker_goes_on_from_its_snapshot(tmp_path: Path) -> None:
    options = ("study.confirm_seeds=2", "study.confirm_top=1")
    whole, engine = run(tmp_path / "a", *options), LosingEngine(losses=2)
    lost = run(tmp_path / "b", *options, engine=engine)
    assert lost.confirmation == whole.confirmation
    assert lost.trained == [whole.trained[0]] * 3 + [whole.trained[1]]
    plans = [plan for plan in engine.trained if plan.config.trainer.seed]
    assert [plan.snapshot is not None for plan in plans] == [False, True, True, False]


def test_a_repeat_that_loses_three_workers_has_failed(tmp_path: Path) -> None:
    engine = LosingEngine(losses=3)
    found = run(tmp_path, "study.confirm_seeds=2", "study.confirm_top=1", engine=engine).confirmation
    assert found is not None and (found.candidates[0].failed, len(found.candidates[0].scores)) == (1, 1)


def test_repeats_leave_the_models_of_the_search_alone(tmp_path: Path) -> None:
    engine = ToyEngine()
    run(tmp_path, "study.confirm_seeds=2", engine=engine)
    assert {plan.config.trainer.save_best for plan in engine.trained if plan.config.trainer.seed} == {False}


@pytest.mark.parametrize(("folds", "rows"), [(None, {552}), (3, {2 * 691})])
def test_the_rows_of_a_repeat_are_those_of_all_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int | None, rows: set[int]
) -> None:
    seen, usual = set[int | None](), StudyRun.begin

    def begin(self: StudyRun, plan: TrialPlan, job_type: JobType = JobType.TRIAL, *, rows: int | None = None) -> None:
        seen.update({rows} if job_type is JobType.CONFIRM else set())
        usual(self, plan, job_type, rows=rows)

    monkeypatch.setattr(StudyRun, "begin", begin)
    run(tmp_path, "study.confirm_seeds=2", *([] if folds is None else [f"dataset.folds={folds}"]))
    assert seen == rows


def test_a_seed_is_fresh_even_where_seeds_are_searched(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("optimizer.learning_rate: {low: 1.0e-4, high: 1.0e-2}\ntrainer.seed: {choices: [1, 2, 3]}\n")
    made = run(tmp_path, f"study.space={space}", "study.confirm_seeds=3", "study.confirm_top=4")
    assert len(made.trained) == 9 and not {seed for _, seed in made.trained} & {1, 2, 3}
    point: dict[str, Scalar] = {"optimizer.learning_rate": 1e-3, "adapter": "lora"}
    drawn = fresh_seed(0, point, 1, taken=-1)
    assert fresh_seed(0, point, 1, taken=drawn) != drawn
    other = {**point, "adapter": "ia3"}
    seeds = {fresh_seed(study, one, index, 0) for study in (0, 1) for one in (point, other) for index in (1, 2)}
    assert len(seeds) == 8
    assert fresh_seed(0, dict(reversed(point.items())), 1, taken=-1) == drawn


def test_a_trial_that_was_stopped_in_the_search_has_the_same_fresh_seeds(tmp_path: Path) -> None:
    options = ("study.confirm_seeds=2", "study.confirm_top=2", "study.sampler=qmc")
    whole = run(tmp_path / "a", *options)

    def interrupt(trial: TrialPlan, _epoch: int) -> None:
        if trial.number == 0:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        run(tmp_path / "b", *options, engine=ToyEngine(interrupt))
    resumed = run(tmp_path / "b", *options)
    assert resumed.trained == whole.trained


def test_repeats_of_an_earlier_version_still_count(tmp_path: Path) -> None:
    """It drew their seeds from the trial's number."""
    options = ("study.confirm_seeds=2", "study.confirm_top=1")
    best = order(tmp_path)[0]
    with session(tmp_path, *SEARCH) as opened:
        for index in (1, 2):
            point = EvalPoint(1, 1, 1.0, {"eval/accuracy": 0.5, "eval/loss": 0.5})
            seed = seed_by_number(opened.plan.config.study.seed, best, index, opened.plan.config.trainer.seed)
            opened.store.write_repeat(Repeat(best, seed, point, Cost()), index)
    assert run(tmp_path, *options).trained == []
