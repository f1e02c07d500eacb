"""The memory that trials are going to need, and the batches that memory holds."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from support import toys
from support.plans import space_file
from support.tiny import tiny_bert
from sweep.config.batch import ACCUMULATION, EFFECTIVE, PER_DEVICE
from sweep.config.metrics import recorded_metrics
from sweep.config.schema import Config
from sweep.engine.memory import PeakMemory
from sweep.errors import Interrupted
from sweep.launch.inline import Inline
from sweep.launch.launcher import Launcher
from sweep.plan.memory_needs import Needs, built_by, kind
from sweep.plan.plan import Plan, tokenised_by
from sweep.records.final import Parameters
from sweep.records.memory import Footprint, MemoryFacts, read_memory, write_memory
from sweep.records.trial import Completed, Failed, FailureReason, TrialPlan
from sweep.study.does_not_fit import DoesNotFitError
from sweep.study.feasibility import Feasibility
from sweep.study.measured_memory import _gaps, _process, _short_config, look, measure
from sweep.study.memory_forecast import Forecast
from sweep.study.memory_prediction import Forecasts
from sweep.study.optuna_study import OptunaStudy
from sweep.study.planner import Planner, Untrainable
from sweep.study.search import search
from sweep.study.session import Session
from sweep.track.null import NullRun, NullTracker
from sweep.track.tracker import Ending, Run, StoppedRun

MIB = 2**20
ACCOUNT = Parameters(10**6, 10**4, 4 * 10**6)
SMALL = ["dataset.max_train_samples=60", "dataset.max_eval_samples=30", "dataset.max_test_samples=30"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def plan(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    space = space_file(folder, f"{EFFECTIVE}: {{choices: [16, 48]}}\n")
    made = toys.plan(folder, f"model.path={model}", space, *SMALL)
    needs = Needs({built_by(made.config): ACCOUNT}, {tokenised_by(made.config): (20,) * 60})
    return replace(made, needs=needs)


def forecasts(
    plan: Plan, limit: float, *, row: float = MIB, fixed: int = 2 * MIB, evaluated: float = 0.0, packed: bool = False
) -> Forecasts:
    """Return forecasts on a device with so many bytes, of which 10 MiB are held without a
    training."""
    footprint = Footprint(
        built_by(plan.config), kind(plan.config), 20, ACCOUNT.trainable, fixed, row, fixed, evaluated, packed
    )
    facts = MemoryFacts("GPU", int(limit), int(limit), 10 * MIB, "this machine has", footprints=(footprint,))
    return Forecasts(plan, facts, dict(plan.needs.accounts))


def split(forecasts: Forecasts, effective: int) -> tuple[int, int]:
    trainer = forecasts.fitted(forecasts.plan.trial(0, {EFFECTIVE: effective})).config.trainer
    assert trainer.step_rows == effective
    return trainer.per_device_train_batch_size, trainer.gradient_accumulation_steps


@pytest.mark.parametrize(("limit", "expected"), [(200, (48, 1)), (40, (24, 2)), (25, (8, 6)), (15, (1, 48))])
def test_the_largest_batch_that_memory_holds_is_taken(plan: Plan, limit: int, expected: tuple[int, int]) -> None:
    assert split(forecasts(plan, limit * MIB), 48) == expected


def test_the_split_is_recorded_and_taken_again(plan: Plan) -> None:
    trial = forecasts(plan, 40 * MIB).fitted(plan.trial(0, {EFFECTIVE: 48}))
    assert trial.used == {PER_DEVICE: 24, ACCUMULATION: 2} and f"{PER_DEVICE}=24" in trial.command
    smaller = forecasts(plan, 25 * MIB)
    assert smaller.fitted(trial).config.trainer.per_device_train_batch_size == 8


def test_a_trial_that_fits_in_no_way_is_refused_with_the_figure(plan: Plan) -> None:
    known = forecasts(plan, 11 * MIB, row=20 * MIB)
    with pytest.raises(DoesNotFitError) as caught:
        known.fitted(plan.trial(0, {EFFECTIVE: 16}))
    (fault,) = caught.value.faults
    assert fault.path == EFFECTIVE and "is 16, which needs about" in fault.message
    assert "this machine has 0.01 GiB" in fault.message and "dataset.max_length" in fault.message
    assert caught.value.excess == pytest.approx(32 / 11 - 1)


def test_what_is_to_change_is_named(plan: Plan) -> None:
    for known, key in (
        (forecasts(plan, 16 * MIB, evaluated=MIB), "trainer.per_device_eval_batch_size"),
        (forecasts(plan, 16 * MIB, fixed=20 * MIB), "adapter.r"),
        (forecasts(plan, 8 * MIB), "model.path"),
    ):
        with pytest.raises(DoesNotFitError) as caught:
            known.fitted(plan.trial(0, {EFFECTIVE: 16}))
        assert [fault.path for fault in caught.value.faults] == [key]


def test_a_batch_that_is_not_to_be_divided_is_refused(plan: Plan) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        forecasts(plan, 14 * MIB).fitted(plan.trial(0, {}))
    (fault,) = caught.value.faults
    assert fault.path == PER_DEVICE and f"{EFFECTIVE}=8" in fault.message


def test_what_is_doubtful_trains(plan: Plan) -> None:
    """20 MiB are predicted, and 17 needed at least, where there are 18."""
    known = forecasts(plan, 18 * MIB)
    assert known.fitted(plan.trial(0, {})).config.trainer.per_device_train_batch_size == 8


def test_of_doubtful_batches_the_largest_is_taken_that_makes_no_difference(plan: Plan) -> None:
    """A batch of one row needs 20.1 MiB, one of 8 rows 20.8, and one of 48 rows 24.8, of 20."""
    known = forecasts(plan, 20 * MIB, row=0.1 * MIB, fixed=10 * MIB)
    assert split(known, 48) == (8, 6)


def test_the_rows_of_a_pack_count_with_their_own_tokens(plan: Plan) -> None:
    longest = (20, *(10,) * 59)
    uneven = replace(plan, needs=replace(plan.needs, longest={tokenised_by(plan.config): longest}))
    padded, packed = (forecasts(uneven, 200 * MIB, packed=packed).forecast(plan.config, 8) for packed in (False, True))
    assert padded is not None and packed is not None
    assert padded.batch == 8 * MIB and packed.batch == int(4.5 * MIB)


def test_the_trials_of_a_pack_share_the_memory(plan: Plan) -> None:
    known = forecasts(plan, 60 * MIB, packed=True)
    assert known.facts is not None and split(known, 48) == (24, 2)
    known.facts = replace(known.facts, at_once=2)
    assert split(known, 48) == (16, 3)


@pytest.mark.parametrize(("slots", "folds", "expected"), [(3, None, 3), (3, 4, 12), ("auto", None, 2), ("auto", 4, 4)])
def test_the_folds_of_a_trial_train_at_once(slots: int | str, folds: int | None, expected: int) -> None:
    config = Config.model_validate({"dataset": {"folds": folds}, "engine": {"slots": slots}})
    workspace: Any = SimpleNamespace(config=config, base_models=SimpleNamespace(device=torch.device("cpu")))
    assert look(workspace).at_once == expected


def test_a_trial_has_the_share_of_memory_that_it_takes_beside_others(plan: Plan) -> None:
    """It needs 10 MiB of the 44 that a base of 10 and the spare part of 60 MiB leave."""
    known = forecasts(plan, 60 * MIB, packed=True)
    assert known.share(plan.config) == pytest.approx(10 / 44)
    assert forecasts(plan, 60 * MIB).share(plan.config) == 0.0  # the Trainer trains it alone
    assert forecasts(plan, 9 * MIB, packed=True).share(plan.config) == 1.0
    assert known.facts is not None
    known.facts = replace(known.facts, workers=2)
    trial = known.with_share(plan.trial(0, {}))
    assert (trial.memory, trial.workers) == (pytest.approx(10 / 44), 2)


def test_the_workers_of_a_host_are_named_where_a_part_of_it_is_too_small(plan: Plan) -> None:
    known = forecasts(plan, 12 * MIB)
    assert known.facts is not None
    known.facts = replace(known.facts, workers=4, source="each of the 4 workers on its host has")
    with pytest.raises(
        DoesNotFitError, match=r"each of the 4 workers on its host has 0.01 GiB; use .*, or fewer workers"
    ):
        known.fitted(plan.trial(0, {}))


def limited(known: Forecasts, limit: float, *, folds: int | None = None) -> Planner:
    """Return a planner whose study limits the peak on the GPU."""
    experiment, config = known.plan.experiment, known.plan.config
    study = config.study.model_copy(update={"limits": {"cost.peak_device_bytes": limit}})
    dataset = config.dataset.model_copy(update={"folds": folds})
    changed = config.model_copy(update={"study": study, "dataset": dataset})
    known.plan = replace(known.plan, experiment=replace(experiment, config=changed))
    return Planner(known.plan, known, Feasibility(study.limits, known.plan.splits.labels))


def test_a_predicted_peak_beyond_its_limit_is_infeasible_with_the_figure(plan: Plan) -> None:
    """20 MiB are predicted."""
    found = limited(forecasts(plan, 200 * MIB), 16 * MIB).trial(0, {})
    assert isinstance(found, Untrainable) and found.failed.reason is FailureReason.INFEASIBLE
    assert "cost.peak_device_bytes is predicted to be 20,971,520, 25.0 % above the limit of" in found.failed.message
    assert found.failed.excess == {"cost.peak_device_bytes": pytest.approx(0.25)}
    assert found.plan is not None and found.plan.command


@pytest.mark.parametrize("limit", [18, 21])
def test_a_predicted_peak_that_may_keep_its_limit_is_trained(plan: Plan, limit: int) -> None:
    planned = limited(forecasts(plan, 200 * MIB), limit * MIB).trial(0, {})
    assert not isinstance(planned, Untrainable) and planned.limits == {"cost.peak_device_bytes": limit * MIB}


def test_an_effective_batch_is_divided_to_keep_a_limit_on_the_peak(plan: Plan) -> None:
    planned = limited(forecasts(plan, 200 * MIB), 32 * MIB).trial(0, {EFFECTIVE: 48})
    assert not isinstance(planned, Untrainable)
    assert planned.config.trainer.per_device_train_batch_size == 16
    single = limited(forecasts(plan, 200 * MIB), 14.5 * MIB).trial(0, {EFFECTIVE: 48})
    assert not isinstance(single, Untrainable) and single.used == {PER_DEVICE: 1, ACCUMULATION: 48}
    none = limited(forecasts(plan, 200 * MIB), 10 * MIB).trial(0, {EFFECTIVE: 48})
    assert isinstance(none, Untrainable) and none.failed.excess == {"cost.peak_device_bytes": pytest.approx(0.3)}


@pytest.mark.parametrize(("packed", "room", "peak"), [(True, 200, 60), (True, 46, 40), (False, 200, 20)])
def test_the_folds_that_train_side_by_side_count_in_a_peak(plan: Plan, packed: bool, room: int, peak: int) -> None:
    """Each of five folds takes 10 MiB beside the base. Where memory holds three, they take turns."""
    known = forecasts(plan, room * MIB, packed=packed)
    limited(known, 1e9, folds=5)
    found = known.peak(known.plan.config)
    assert found is not None and (found.name, found.bytes) == ("cost.peak_device_bytes", peak * MIB)


def test_a_limit_far_above_a_bound_needs_no_measurement(plan: Plan) -> None:
    known = forecasts(plan, 2**40)
    limited(known, 2**39)
    assert not list(known.doubtful())
    limited(known, 2**20)
    assert list(known.doubtful())


def test_on_the_host_an_allocator_s_gaps_count(plan: Plan) -> None:
    known = forecasts(plan, 80 * MIB)
    assert known.facts is not None and split(known, 48) == (48, 1)
    known.facts = replace(known.facts, device="cpu")
    forecast = known.forecast(plan.config, 48)
    assert split(known, 48) == (24, 2)
    assert forecast is not None and forecast.least == 51 * MIB
    assert forecast.bytes == 12 * MIB + int(1.6 * 48 * MIB)
    measured = replace(known.facts.footprints[0], gaps=2.5, resident=11 * MIB)
    known.facts = replace(known.facts, footprints=(measured,))
    assert known.forecast(plan.config, 48) == Forecast(11 * MIB, 2 * MIB, 48 * MIB, 0, 2.5)
    known.facts = replace(known.facts, footprints=(replace(measured, process=7 * MIB),))
    grown = known.forecast(plan.config, 48)
    assert grown is not None and grown.bytes == (11 + 7 + 2 + 120) * MIB and grown.least == int(0.85 * 61 * MIB)


def test_a_prediction_of_the_larger_small_training_is_what_it_held(plan: Plan) -> None:
    """From 3 to 8 rows tensors grow by 50 MiB and the process by 75."""
    smaller, larger = PeakMemory(40 * MIB, 100 * MIB, 500 * MIB), PeakMemory(90 * MIB, 175 * MIB, 510 * MIB)
    known = forecasts(plan, 2**30)
    assert known.facts is not None
    measured = replace(
        known.facts.footprints[0], fixed=10 * MIB, row=10 * MIB, resident=450 * MIB, gaps=_gaps(smaller, larger)
    )
    footprint = replace(measured, process=_process(measured, larger))
    assert (footprint.gaps, footprint.process) == (1.5, (685 - 450 - 10 - 120) * MIB)
    assert _process(measured, replace(larger, held=0)) == 0
    known.facts = replace(known.facts, device="cpu", footprints=(footprint,))
    forecast = known.forecast(plan.config, 8)
    assert forecast is not None and forecast.bytes == 685 * MIB


def test_without_figures_each_trial_fits(plan: Plan) -> None:
    trial = plan.trial(0, {EFFECTIVE: 48})
    assert Forecasts(plan, None).fitted(trial) is trial
    facts = MemoryFacts("cpu", 2**40, 2**40, 0, "this machine has")
    far = Forecasts(plan, facts, dict(plan.needs.accounts))
    assert far.fitted(trial) is trial and not list(far.doubtful())


def test_figures_are_kept_with_the_study(plan: Plan, tmp_path: Path) -> None:
    facts = forecasts(plan, 40 * MIB).facts
    assert facts is not None and read_memory(tmp_path) is None
    write_memory(tmp_path, facts)
    assert read_memory(tmp_path) == facts


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["packed", "trainer"])
def test_small_trainings_are_measured_where_trials_are_trained(plan: Plan, tmp_path: Path, engine: str) -> None:
    settings = plan.config.engine.model_copy(update={"name": engine, "memory_limit": 1e9})
    config = plan.config.model_copy(update={"engine": settings, "run_dir": str(tmp_path / "run")})
    made = replace(plan, experiment=replace(plan.experiment, config=config))
    facts = measure(Inline.of(made).workspace, [(config, ACCOUNT)])
    (footprint,) = facts.footprints
    assert (facts.limit, facts.source) == (10**9, "engine.memory_limit allows") and facts.resident > MIB
    assert footprint.packed is (engine == "packed") and footprint.tokens > 2
    assert footprint.row > 0 and footprint.resident == facts.resident


def test_a_small_training_has_no_metric_of_the_users_own(plan: Plan) -> None:
    """Of copies of one row it may not be defined."""
    dataset = plan.config.dataset.model_copy(update={"metrics": ("mymetrics.spread", "mcc")})
    study = plan.config.study.model_copy(update={"metric": "eval/spread", "second_metric": "eval/mcc"})
    config = plan.config.model_copy(update={"dataset": dataset, "study": study})
    assert recorded_metrics(config) and not recorded_metrics(_short_config(config, 2, 6))


class _SameDevice:
    """The trials' machine, as it was when `facts` were measured."""

    def __init__(self, facts: MemoryFacts) -> None:
        self.facts = facts

    def workers_on_host(self) -> int:
        return self.facts.workers

    def ask(self, question: object, workers: int) -> MemoryFacts:
        assert question is look and workers == self.facts.workers, "nothing is measured again"
        return self.facts


def test_figures_of_another_device_or_limit_are_not_trusted(plan: Plan) -> None:
    facts = forecasts(plan, 40 * MIB).facts
    assert facts is not None and facts.same_device(replace(facts, usable=1, resident=2, footprints=()))
    for other in ({"device": "other"}, {"limit": 1}, {"source": "a cgroup"}, {"at_once": 9}, {"asked": 1.0}):
        assert not facts.same_device(replace(facts, **other))  # type: ignore[arg-type]


def measured_before(opened: Session, plan: Plan, needs: Needs, limit: int) -> Session:
    """Return a session whose run directory has figures of a machine with this limit of memory."""
    facts = forecasts(plan, limit).facts
    assert facts is not None
    write_memory(opened.store.root, facts)
    launcher = cast(Launcher, _SameDevice(facts))
    return replace(opened, plan=replace(opened.plan, needs=needs), launcher=launcher)


def test_a_search_trains_what_fits_and_records_what_does_not(plan: Plan, tmp_path: Path) -> None:
    points = f"study.enqueue=[{{{EFFECTIVE}:16}},{{{EFFECTIVE}:48}}]"
    space = space_file(tmp_path, f"{EFFECTIVE}: {{choices: [16, 48]}}\n")
    small = replace(plan.needs, longest={tokenised_by(plan.config): (20,) * 60})
    with toys.session(
        tmp_path, f"model.path={plan.config.model.path}", space, points, "study.n_trials=2", *SMALL
    ) as opened:
        session = measured_before(opened, plan, small, 40 * MIB)
        whole, split = search(session)
        assert not whole.used and split.used == {PER_DEVICE: 24, ACCUMULATION: 2}
        assert session.plan.again(split).config.trainer.per_device_train_batch_size == 24
        assert f"{PER_DEVICE}=24" in split.command and isinstance(split.outcome, Completed)


def test_a_record_that_is_made_again_names_the_split(plan: Plan, tmp_path: Path) -> None:
    space = space_file(tmp_path, f"{EFFECTIVE}: {{choices: [16, 48]}}\n")
    options = (space, f"study.enqueue=[{{{EFFECTIVE}:48}}]", "study.n_trials=1", *SMALL)
    needs = replace(plan.needs, longest={tokenised_by(plan.config): (20,) * 60})
    found = []
    for _ in range(2):
        with toys.session(tmp_path, f"model.path={plan.config.model.path}", *options) as opened:
            found += search(measured_before(opened, plan, needs, 40 * MIB))
        (tmp_path / "run" / "trials" / "0000" / "record.json").unlink()
    assert [one.used for one in found] == [{PER_DEVICE: 24, ACCUMULATION: 2}] * 2


@dataclass
class _Reopening(NullTracker):
    """A tracker with one run, which it is asked to open again."""

    stopped: list[StoppedRun] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:  # noqa: ARG002
        self.stopped.append(stopped)
        return _Ended(self.endings)


@dataclass
class _Ended(NullRun):
    endings: list[Ending]

    def finish(self, ending: Ending) -> None:
        self.endings.append(ending)


def test_a_trial_that_does_not_fit_any_more_keeps_what_it_has_trained(plan: Plan, tmp_path: Path) -> None:
    def stop(_trial: TrialPlan, epoch: int) -> None:
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    options = (f"model.path={plan.config.model.path}", "study.n_trials=1", "study.pruner=none", *SMALL)
    with toys.session(tmp_path, *options, engine=toys.ToyEngine(stop)) as opened, pytest.raises(Interrupted):
        search(measured_before(opened, plan, plan.needs, 400 * MIB))
    tracker = _Reopening()
    with toys.session(tmp_path, *options) as opened:
        opened.store.note_run(0, "the run of trial 0")
        session = replace(measured_before(opened, plan, plan.needs, 8 * MIB), tracker=tracker)
        (refused,) = search(session)
        assert not opened.toy.trained
    assert refused.state == "infeasible" and len(refused.outcome.evals) == 2
    assert refused.outcome.cost.steps == refused.total_steps, "its last step was taken, and not evaluated"
    (stopped,), (ending,) = tracker.stopped, tracker.endings
    assert stopped.address == refused.tracker_run == "the run of trial 0" and ending.state == "infeasible"
    assert len(stopped.events) == 5, "three steps and two evaluations"


def test_a_search_goes_on_after_a_point_that_cannot_fit(plan: Plan, tmp_path: Path) -> None:
    with toys.session(tmp_path, f"model.path={plan.config.model.path}", "study.n_trials=1", *SMALL) as opened:
        session = measured_before(opened, plan, plan.needs, 8 * MIB)
        (refused,) = search(session)
        assert isinstance(refused.outcome, Failed) and refused.outcome.reason is FailureReason.INFEASIBLE
        assert "needs about 0.02 GiB" in refused.outcome.message and not opened.toy.trained


def test_a_search_refuses_what_is_beyond_a_limit_by_prediction_and_tells_the_sampler(
    plan: Plan, tmp_path: Path
) -> None:
    limit = f"study.limits={{cost.peak_device_bytes: {16 * MIB}}}"
    with toys.session(tmp_path, f"model.path={plan.config.model.path}", limit, "study.n_trials=1", *SMALL) as opened:
        session = measured_before(opened, plan, plan.needs, 40 * MIB)
        (refused,) = search(session)
        with closing(OptunaStudy.open(session.plan.config.study, session.plan.space, session.store)) as study:
            (told,) = study.ended()
    assert isinstance(refused.outcome, Failed) and refused.outcome.reason is FailureReason.INFEASIBLE
    assert "cost.peak_device_bytes is predicted to be 20,971,520" in refused.outcome.message and not opened.toy.trained
    assert told.constraints == {"cost.peak_device_bytes": pytest.approx(0.25)} and not refused.measured
