"""W&B: one run for each training.

If W&B fails, the study goes on; the run directory has everything.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import wandb

from sweep.config.schema import Config
from sweep.config.secrets import scrub_typed, scrubbed
from sweep.records.lock import Lock
from sweep.records.store import Store
from sweep.records.trial import TrialPlan
from sweep.track.credentials import Account
from sweep.track.dashboard_ids import DashboardIds
from sweep.track.null import NullRun
from sweep.track.open_runs import OpenRuns
from sweep.track.patience import STOPPED, Patience
from sweep.track.tracker import PUT_AWAY, STEP, CutRun, JobType, Run, Say, StoppedRun, log_events
from sweep.track.wandb_lineage import Lineage
from sweep.track.wandb_names import id_at, name_of, new_id, offline_id, run_name, study_run_name
from sweep.track.wandb_overview import describe, facts_of, measure_machine, save_metadata
from sweep.track.wandb_run import WandbRun, clean
from sweep.track.wandb_search_space import sweep_config
from sweep.track.wandb_server import Started, WandbServer
from sweep.track.wandb_service import abandon
from sweep.track.wandb_sweep import StudySweep

# Seconds between two transmissions of rows; the client's default of 15 is longer than a short
# trial.
SEND_EVERY = 5
# Seconds for the server to accept a new run. After that the run is kept offline.
INIT_TIMEOUT = 10


class WandbTracker:
    """Sends runs to W&B, or keeps them offline while the server cannot be reached
    (`WandbServer`). `account` None keeps all offline.
    """

    def __init__(
        self, config: Config, run_dir: Path, *, account: Account | None, say: Say, patience: Patience | None = None,
        send_every: float = SEND_EVERY,
    ) -> None:  # fmt: skip
        self.config = config
        self.say = say
        self.patience = patience or Patience(config.tracker.max_wait)
        self._root = run_dir.resolve()
        self._send_every = send_every
        self._refused = False
        self._notes = scrub_typed(notes) if (notes := os.environ.get("WANDB_NOTES")) else None
        self.runs: list[WandbRun] = []
        self._root.mkdir(parents=True, exist_ok=True)
        self._open_runs = OpenRuns(self._root)
        self.connection = WandbServer(self._root, account, say=say, patience=self.patience)
        lock = self._lock()
        self._lineage = Lineage(lock.data if lock else None, self.tell, self.connection.service)
        ids = DashboardIds.of(self._root, self.connection.base_url, config.tracker)
        searched = lock.space if lock and config.tracker.sweep else {}
        plan = sweep_config(config.study, searched) if searched else None
        self._sweep = StudySweep(plan, config.tracker, ids, self.connection)

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        return self._start(name_of(trial, job_type), job_type, self._described(trial), {"optuna/number": trial.number})

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:
        name, about = name_of(trial, stopped.job_type), {"optuna/number": trial.number}
        run = self._resumed(name, stopped, self._described(trial), about)
        if isinstance(run, WandbRun):
            log_events(run, [event for event in stopped.events if event.metrics][run.client.starting_step :])
        return run

    def _resumed(
        self, name: str, stopped: StoppedRun, config: dict[str, Any], summary: dict[str, Any]
    ) -> WandbRun | NullRun | None:
        """Return a run that goes on: on the server, which has its first rows, or offline, under
        the same id. None where the address is not W&B's.

        `wandb sync` replaces the rows that a server has of a run by those of an offline run with
        its id. An earlier offline folder of the run is therefore deleted.
        """
        run_id = id_at(stopped.address) or offline_id(stopped.address)
        if not run_id:
            return None
        online, offline = (self._settings(name, stopped.job_type, online=there) for there in (True, False))
        online.run_id = offline.run_id = run_id
        online.resume = "allow"
        started = self._init(online, offline, config, stopped.job_type)
        if started is None:
            return NullRun()
        self._open_runs.take_up(run_id)
        return self._kept(started, stopped.job_type, {**summary, "state": "running"})

    def _described(self, trial: TrialPlan) -> dict[str, Any]:
        about = {"number": trial.number, "total_steps": trial.total_steps, "command": scrub_typed(trial.command)}
        return {**scrubbed(trial.config), "trial": about, "params": clean(trial.params)}

    def left_open(self, address: str) -> bool:
        return id_at(address) in self._open_runs.left

    def complete(self, cut: CutRun) -> bool:
        """Send the missing rows and the end of a run.

        Rows are in the order of the events, so that the number of rows on the server says which
        are missing. Return False if the run cannot be opened.
        """
        run_id = id_at(cut.address)
        if not run_id or not self.connection.may_ask():
            return False
        name = run_name(self.config.study, cut.job_type, cut.number, cut.params, cut.seed)
        settings = self._settings(name, cut.job_type, online=True)
        settings.run_id, settings.resume = run_id, "must"
        what = f"the run of trial {cut.number}" if cut.job_type is JobType.TRIAL else f"the run {name}"
        started = self.connection.init(settings, {}, f"{what} cannot be gone on with")
        if started is None:
            if not self.connection.away:
                self._open_runs.forget(run_id)
            return False
        self._open_runs.take_up(run_id)
        resumed = self._kept(started, cut.job_type, {})
        log_events(resumed, [event for event in cut.events if event.metrics][started.run.starting_step :])
        resumed.finish(cut.ending)
        return True

    def open_study(self, config: Config) -> Run:
        run = self._start(study_run_name(config.study), JobType.STUDY, self._study_config(config), {})
        self._describe_study(run)
        return run

    def resume_study(self, config: Config, stopped: StoppedRun) -> Run | None:
        """Return the study's run, which goes on. Each event is a row of the run, whether it has
        metrics or not, so that the number of rows on the server says which are missing."""
        run = self._resumed(study_run_name(config.study), stopped, self._study_config(config), {})
        if isinstance(run, WandbRun):
            for event in stopped.events[run.client.starting_step :]:
                run.log(event.step, event.metrics)
            self._describe_study(run)
        return run

    def _study_config(self, config: Config) -> dict[str, Any]:
        return {**scrubbed(config), **facts_of(self._lock())}

    def _describe_study(self, run: Run) -> None:
        lock = self._lock()
        if isinstance(run, WandbRun) and lock is not None:
            run.attempt("could not be described", lambda: save_metadata(run.client, lock))

    def _lock(self) -> Lock | None:
        return Store(self._root).lock()

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:
        configs = {one: scrubbed(config) for one, config in compared.items()}
        return self._start(name, JobType.COMPARE, {"compared": configs}, {})

    def close(self) -> tuple[str, ...]:
        try:
            if not self.patience.stop.at_once:
                self._end_all()
        finally:
            self.connection.close()
            self.connection.service.put_back()
            # If a second signal came while a run was started, that run is not in the list.
            left = [run.client for run in self.runs if not run.closed.is_set()]
            if left or self.patience.stop.at_once:
                abandon(left)
        return tuple(self._lines())

    def _end_all(self) -> None:
        """End all runs at the same time, within one time limit."""
        for run in self.runs:
            run.start_to_end(PUT_AWAY)
        pending = [run for run in self.runs if not run.closed.is_set()]
        patience = self.patience
        in_time = max(patience.usual, patience.left) + sum(run.upload for run in pending)
        end = time.monotonic() + (STOPPED if patience.stop.raised else in_time)
        for run in pending:
            patience.wait(run.closed, end - time.monotonic())
        self._sweep.settle()

    def tell(self, line: str) -> None:
        self.connection.tell(line)

    def doubt(self, trouble: str) -> None:
        self.connection.doubt()
        self.tell(f"{trouble}; the run directory has all of it.")

    def refused(self, run: WandbRun, reason: str) -> None:
        """Tell the user about the first refused run; `close` reports all of them."""
        if not self._refused:
            self.tell(
                f"W&B at {self.connection.base_url} refused part of {run.name} for good ({reason}); "
                "its folder holds all of it."
            )
            self.tell(f"To send it again, to a server that takes it: {self._sync([run])}")
        self._refused = True

    def before_end(self, run: WandbRun) -> None:
        self._lineage.settle(run)

    def ended(self, run: WandbRun) -> None:
        if run.put_away:
            return  # its mark says that it goes on, or is completed by the next process
        self._open_runs.forget(run.id)
        if run.concludes:
            self._sweep.finish()
            # The runs that have a record are completed by now, where the server is there.
            for run_id in tuple(self._open_runs.left):
                if not run.offline or self._offline_folders(run_id):
                    self._open_runs.forget(run_id)

    def wait_for(self, run: WandbRun) -> None:
        if run.offline:
            self.patience.wait(run.closed, self.config.tracker.finish_timeout)
        else:
            self.connection.wait_for(run)

    def _start(self, name: str, job_type: JobType, config: dict[str, Any], summary: dict[str, Any]) -> Run:
        """Return a new run, or one that an earlier process had opened when it was killed, but not
        noted yet. Ids are kept before it starts: one for the server and one for offline, since the
        client starts no second run with the id of one that failed to start."""
        online, offline = (self._settings(name, job_type, online=there) for there in (True, False))
        if begun := self._open_runs.begun(scrub_typed(name)):
            if self._offline_folders(begun):
                offline.run_id = begun
            else:
                online.run_id, online.resume = begun, "allow"
        ids = {str(settings.run_id) for settings in (online, offline)}
        for run_id in ids:
            self._open_runs.mark(run_id)
        started = self._init(online, offline, config, job_type)
        for run_id in ids - {started.run.id if started else ""}:
            self._open_runs.forget(run_id)
            for folder in self._offline_folders(run_id):  # of a run that was killed before its first row
                shutil.rmtree(folder, ignore_errors=True)
        return NullRun() if started is None else self._kept(started, job_type, summary)

    def _kept(self, started: Started, job_type: JobType, summary: Mapping[str, Any]) -> WandbRun:
        """Return a run that was started, as one of `runs`."""
        run = WandbRun(started.run, self, job_type, process=started.process, first_summary=summary)
        # A run that this process had ended until its training went on is one run, with all its rows.
        run.rows = 0 if run.offline else max((one.rows for one in self.runs if one.id == run.id), default=0)
        self.runs = [*(one for one in self.runs if one.id != run.id), run]
        self._open_runs.mark(run.id)
        for folder in self._offline_folders(run.id):
            if folder.resolve() != run.folder.resolve():
                shutil.rmtree(folder, ignore_errors=True)
        run.attempt("could not be set up", lambda: _prepare(run.client, run.axis, summary))
        if job_type is not JobType.COMPARE:
            self._lineage.use_data(run)
        return run

    def _init(
        self, online: wandb.Settings, offline: wandb.Settings, config: dict[str, Any], job_type: JobType
    ) -> Started | None:
        """Return a run that was started on the server, the one of a trial in the study's sweep, or
        else offline; None where neither can be."""
        of_trial = job_type is JobType.TRIAL
        started = self.connection.init(online, config, prepare=self._sweep.join if of_trial else None)
        if started is None and of_trial:
            self._sweep.join_offline(offline)
        return started or self.connection.init_offline(offline, config)

    def reopened(self, run: WandbRun) -> wandb.Run | None:
        if run.process == (present := self.connection.service.renew_if_gone()):
            return None
        run.process = present
        config, offline = dict(run.client.config), run.offline
        settings = self._settings(run.name, run.job_type, online=not offline)
        settings.run_id, settings.resume = run.id, None if offline else "allow"
        if offline and run.job_type is JobType.TRIAL:
            self._sweep.join_offline(settings)
        trouble = f"{run.name} cannot go on after the end of the client's process"
        made = (
            self.connection.init_offline(settings, config)
            if offline
            else self.connection.init(settings, config, trouble)
        )
        if made is None:
            return None
        run.process = made.process
        self._describe_again(made.run, run)
        if offline:
            shutil.rmtree(run.folder, ignore_errors=True)  # the new folder has all rows
        return made.run

    def _describe_again(self, made: wandb.Run, run: WandbRun) -> None:
        """Give a run of a new process of the client what it had before its first row: an offline
        run has none of it, and of a run on the server the former process may not have sent it."""
        _prepare(made, run.axis, run.first_summary)
        if run.job_type is not JobType.COMPARE:
            self._lineage.use_data(run, made)
        if run.job_type is JobType.STUDY and (lock := self._lock()) is not None:
            with suppress(Exception):  # see `WandbRun.attempt`
                save_metadata(made, lock)

    def _offline_folders(self, run_id: str) -> list[Path]:
        """Return the folders of a run. Their names may end with a further number
        (`offline_id`)."""
        named = (self._root / "wandb").glob(f"offline-run-*-{run_id}*")
        return [folder for folder in named if offline_id(str(folder)) == run_id]

    def _settings(self, name: str, job_type: JobType, *, online: bool) -> wandb.Settings:
        """Return new settings for a run, since the client changes the settings it is given."""
        tracker, name = self.config.tracker, scrub_typed(name)
        settings = wandb.Settings(
            mode="online" if online else "offline", base_url=self.connection.base_url, root_dir=str(self._root),
            project=tracker.project, run_group=scrub_typed(self.config.study.study_name), run_name=name,
            run_job_type=job_type.value,
            run_tags=tuple(map(scrub_typed, tracker.tags)), run_notes=self._notes, run_id=new_id(name),
            reinit="create_new", symlink=False, console="off", silent=True,
            init_timeout=max(1.0, min(INIT_TIMEOUT, self.patience.left)),
            finish_timeout=tracker.finish_timeout, finish_timeout_raises=True,
            x_file_stream_transmit_interval=self._send_every,
            # The metadata would show the command line, the user and the host; the rest takes time,
            # and is in the lock.
            x_disable_meta=True, x_disable_stats=True, x_save_requirements=False, x_disable_machine_info=True,
            disable_git=True, disable_code=True, save_code=False, disable_job_creation=True, label_disable=True,
        )  # fmt: skip
        if job_type is JobType.STUDY:
            describe(settings, self._lock())
            if tracker.system_metrics:
                measure_machine(settings, every=3 * self._send_every)
        if tracker.entity is not None:
            settings.entity = tracker.entity
        if online and self.connection.account is not None and self.connection.account.api_key is not None:
            settings.api_key = self.connection.account.api_key
        return settings

    def _sync(self, runs: Sequence[WandbRun]) -> str:
        folders = " ".join(shlex.quote(str(self.connection.files / run.folder.name)) for run in runs)
        return f"wandb sync --include-online {folders}"

    def _lines(self) -> Iterator[str]:
        arrived = [run for run in self.runs if run.arrived]
        offline = [run for run in self.runs if run.offline]
        partly = [run for run in self.runs if not run.arrived and not run.offline]
        if arrived:
            yield f"W&B: {tally(arrived)} at {arrived[-1].address.rsplit('/runs/', 1)[0]}"
        if offline:
            yield f"W&B: {tally(offline)} kept offline in {self.connection.files}"
            yield f"  look:   wandb leet {shlex.quote(str(self.connection.files))}"
            yield f"  upload: wandb sync {shlex.quote(str(self.connection.files))}/offline-run-*"
        if partly:
            yield f"W&B did not take all of {', '.join(run.name for run in partly)}"
            yield f"  upload the rest: {self._sync(partly)}"


def _prepare(run: wandb.Run, axis: str, summary: Mapping[str, Any]) -> None:
    _define_axis(run, axis)
    run.summary.update(dict(summary))


def _define_axis(run: wandb.Run, axis: str) -> None:
    run.define_metric(axis)
    run.define_metric("*" if axis == STEP else "study/*", step_metric=axis)


def tally(runs: list[WandbRun]) -> str:
    """Return the numbers of runs by job type, and of their rows."""
    counts = Counter(run.job_type for run in runs)
    rows = sum(run.rows for run in runs)
    trials = f"{counts[JobType.TRIAL]} trial run{'' if counts[JobType.TRIAL] == 1 else 's'}"
    others = [f"{counts[kind]} {kind}" for kind in JobType if kind is not JobType.TRIAL and counts[kind]]
    first = [trials] if counts[JobType.TRIAL] or not others else []
    return ", ".join([*first, *others, f"{rows} row{'' if rows == 1 else 's'}"])
