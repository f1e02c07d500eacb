"""The objects that a running study uses, opened and closed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.config.custom_code import is_own
from sweep.config.folders import cache_dir, conf_dir
from sweep.config.schema import Config, StudyConfig
from sweep.config.secrets import scrub, shown
from sweep.data.tokenise import TokenisedData
from sweep.engine import memory
from sweep.engine.protocol import Engine
from sweep.errors import UserError
from sweep.launch.code import own_code, own_names
from sweep.launch.inline import Inline
from sweep.launch.kept_snapshots import Kept, take_over
from sweep.launch.launcher import Hosted, Launcher, Make, Search
from sweep.launch.workspace import Workspace
from sweep.model.base_model_cache import BaseModelCache, pick_device
from sweep.model.source import fingerprint as model_fingerprint
from sweep.plan.pausing import trained_part
from sweep.plan.plan import Plan
from sweep.provenance import Fingerprint, git_state, machine, now, package_versions
from sweep.records.lock import Lock
from sweep.records.recovery import clear_old, recover, refuse_foreign
from sweep.records.snapshots import Snapshots
from sweep.records.store import Store
from sweep.records.trial import TrialPlan
from sweep.study.ended_trials import EndedTrials
from sweep.study.identity import changed_surroundings, fingerprint, identity, refuse_if_changed
from sweep.study.owner import known_experiment
from sweep.study.signals import StopFlag, stop_on_signals
from sweep.study.storage import check_storage
from sweep.study.view import View
from sweep.track.open import tracked
from sweep.track.study_run import StudyRun
from sweep.track.tracker import Tracker


@dataclass(frozen=True, slots=True)
class Session:
    """A running study: its plan, run directory, tracker, launcher, output, stop flag, ended trials
    and its own run on the dashboard."""

    plan: Plan
    store: Store
    tracker: Tracker
    launcher: Launcher
    view: View
    stop: StopFlag
    ended: EndedTrials
    study_run: StudyRun

    def engine(self, points: int | None = None, at_once: Callable[[], int | None] = lambda: None) -> Engine:
        """Return a new engine, wherever it runs. `points` is the number of trials that it is going
        to be given, where that is known, and `at_once` the most that may run at once
        (`Search`)."""
        search = Search(
            self._best_dir, self.ended.leads, lambda: self.stop.raised, points, self.store.identity(), at_once
        )
        return self.launcher.engine(search)

    def hosted(self, make: Make) -> AbstractContextManager[Hosted]:
        """Return a context with an object that is made where trials are trained
        (`Launcher.hosted`)."""
        return self.launcher.hosted(make)

    def take_over(self, plan: TrialPlan, own: Snapshots, key: str, kept: str) -> None:
        """Look for the snapshot of a training that goes on, or begins, where a worker of this
        machine may have kept it as `kept`: only where this process trains it."""
        if plan.kept_on_worker and self.launcher.inline:
            take_over(own, key, Kept(self.store.identity(), kept))

    def drop_kept(self, plan: TrialPlan, kept: str) -> None:
        """Delete the snapshot of a training that has ended, where a worker of this machine may
        have kept it as `kept`: the training may have gone on elsewhere since then."""
        if plan.kept_on_worker:
            Kept(self.store.identity(), kept).drop()

    @property
    def base_models(self) -> BaseModelCache:
        """Return the base models of this process."""
        return self._workspace.base_models

    @property
    def data(self) -> TokenisedData:
        """Return the tokenised rows of this process."""
        return self._workspace.data

    @property
    def _workspace(self) -> Workspace:
        assert isinstance(self.launcher, Inline), "trials are trained in this process"
        return self.launcher.workspace

    def _best_dir(self, trial: TrialPlan) -> Path | None:
        return self.store.trial_dir(trial.number) / "best" if trial.config.trainer.save_best else None


@contextmanager
def opened(plan: Plan, launcher: Launcher | None = None) -> Iterator[Session]:
    """Hold the run directory, write or compare its lock file, and open the tracker; close all of
    them at the end. Trials run where `launcher` runs them; None is this process.

    Within the context the first Ctrl-C or SIGTERM only sets `session.stop`: the current step is
    finished. Raises UserError if the run directory is in use or holds another experiment, and
    SystemExit(1) if the server of `tracker=mock` lacks a row or run.
    """
    store, where = Store(Path(plan.config.run_dir)), launcher or Inline.of(plan)
    with store.held(), stop_on_signals() as stop:
        device = where.facts().device_name
        groups = max(len(plan.space.choices(plan.config.study.compare_by)), 1)
        part = trained_part(plan.corners, plan.space, plan.splits.state.scored)
        view = View(
            plan.config.study, memory=where.memory_in_use, device=device, groups=groups, part=part,
            refits=plan.config.refits, on_workers=not where.inline,
        )  # fmt: skip
        where.tell_by(view.say, lambda: stop.raised)
        clear_old(cache_dir())
        for line in recover(store):
            view.say(f"note: {line}")
        _write_or_compare(store, new_lock(plan, device), view)
        with tracked(plan.config, store, say=view.say, stop=stop) as tracker:
            study_run = StudyRun(tracker, store, plan.config, plan.splits.trained_rows, plan.tokens_per_row)
            yield Session(plan, store, tracker, where, view, stop, EndedTrials.of(plan, store), study_run)


def new_lock(plan: Plan, device_name: str) -> Lock:
    """Return the lock of a study that begins now."""
    config, space = plan.config, plan.space.plain()
    models = {corner.model: model_fingerprint(corner.model) for corner in plan.corners}
    every = Fingerprint()
    for one in models.values():
        every.add(one.fingerprint)
    model = replace(models[config.model], fingerprint=every.hex())
    code = _own_code(config, plan.corners)
    parts = identity(config, space, data=plan.splits.state.fingerprint, model=model.fingerprint, code=code)
    git = git_state(conf_dir())
    return Lock(
        experiment=fingerprint(parts), config=shown(config), space=space,
        command=plan.command, seeds={"study": config.study.seed, "trainer": config.trainer.seed, "dataset": config.dataset.seed},
        versions={**package_versions(), **code},
        machine={**machine(), "device": device_name},
        git=replace(git, diff=scrub(git.diff)), data=plan.splits.state, model=model, created=now(),
    )  # fmt: skip


def _own_code(config: Config, corners: Sequence[Config] = ()) -> dict[str, str]:
    """Return the state of the user's own code that the study uses, by its dotted path. `corners`
    are configs that the search can reach: each may have another adapter method."""
    search = filter(is_own, (config.study.sampler, config.study.pruner))
    return own_code((*search, *own_names((config, *corners))))


def check_place(plan: Plan, device_name: str | None = None) -> None:
    """Check the run directory and the storage without writing to them.

    Raises UserError if the run directory cannot be written to or holds another experiment, or if
    the storage cannot be reached. `device_name` is that of the trials' device; None takes the one
    of this machine.
    """
    store = Store(Path(plan.config.run_dir))
    if faults := store.place_faults():
        raise UserError(faults)
    refuse_foreign(store.root)
    _resumed_lock(store, new_lock(plan, device_name or memory.device_name(pick_device(plan.config.trainer.device))))
    if plan.config.study.storage is not None:
        check_storage(plan.config.study.storage)


def _resumed_lock(store: Store, new: Lock) -> Lock | None:
    """Return the lock of the study that this run resumes: one with trials, ended or not.

    None if the run begins a study, or if the lock was damaged and Optuna's storage holds the same
    experiment. Raises UserError if the experiment differs.
    """
    old, trials = store.lock(), store.trials()
    if old is None and trials and known_experiment(new.config.study, store) != new.experiment:
        rule = f"{store.root} holds trials but no lock.json, and the storage does not hold this experiment"
        raise UserError.of("run_dir", f"{rule}; name a new run_dir")
    if old is None or not (trials or _has_unfinished(store, old, new.config.study)):
        return None
    refuse_if_changed(old, new)
    return old


def _has_unfinished(store: Store, lock: Lock, config: StudyConfig) -> bool:
    """Return whether the storage holds the study of a lock, and a trial of it was begun: the study
    was stopped before its first trial had ended."""
    return store.has_begun() and known_experiment(config, store) == lock.experiment


def _write_or_compare(store: Store, new: Lock, view: View) -> None:
    old = _resumed_lock(store, new)
    if old is None:
        store.write_lock(new)
        return
    for name, before, after in changed_surroundings(old, new):
        view.say(
            f"note: {name} was {before} when this study began and is {after} now; its trials may not compare exactly"
        )
    # The report shows the newest values of keys that may change between two runs (n_trials,
    # tracker, title).
    store.write_lock(replace(old, config=new.config, command=new.command))
