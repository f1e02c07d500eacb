"""One W&B run a trial. Whatever happens to W&B, the study goes on: the run directory is the truth, W&B its mirror."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb

from sweep.config.schema import Config, StudyConfig
from sweep.config.secrets import scrub, scrubbed
from sweep.errors import first_line
from sweep.records import EvalPoint, Metrics, Step, TrialPlan, TrialRecord
from sweep.store import Store
from sweep.track.credentials import Account, Answer, probe
from sweep.track.null import NullRun
from sweep.track.tracker import Ending, JobType, Receipt, Run, Say, best_evaluation, trial_ending

STEP = "train/global_step"

# Seconds between two transmissions of rows; the client's own 15 is longer than a short trial.
SEND_EVERY = 5
# Seconds for the server to accept a new run. Nothing is lost by giving up: the run is kept offline.
INIT_TIMEOUT = 30

_OPTUNA_STATES = {"completed": "COMPLETE", "pruned": "PRUNED"}


class WandbRun:
    """`arrived` once the server has confirmed all of it."""

    def __init__(self, run: wandb.Run, tracker: WandbTracker, job_type: JobType) -> None:
        self._run = run
        self._tracker = tracker
        self._job_type = job_type
        self._lost = False
        self._finished = False
        self.rows = 0
        self.name = str(run.name)
        self.id = str(run.id)
        self.job_type = job_type
        self.folder = Path(run.settings.sync_dir)
        self.offline = bool(run.offline)
        self.arrived = False

    @property
    def address(self) -> str:
        return self._run.url or str(self.folder)

    def log(self, step: int, metrics: Metrics) -> None:
        if self.attempt("took no more rows", lambda: self._run.log({STEP: step, **metrics})):
            self.rows += 1

    def finish(self, ending: Ending) -> None:
        if self._finished:
            return
        self._finished = True
        with _staging_in(self.folder.parent):
            self.attempt("could not be given its summary", lambda: self._describe(ending))
            self.attempt("could not be given its files", lambda: self._attach(ending))
            self._close(ending.code)
        self._tracker.ended(self)

    def _describe(self, ending: Ending) -> None:
        if self._job_type is JobType.TRIAL:
            kind = () if ending.code == 0 else ("failed",)
            self._run.tags = (*(self._run.tags or ()), ending.state, *kind)
            self._run.summary["optuna/state"] = _OPTUNA_STATES.get(ending.state, "FAIL")
        self._run.summary.update({"state": ending.state, **_shown(ending.summary or {})})

    def _attach(self, ending: Ending) -> None:
        for path in ending.files:
            self._run.save(str(path), base_path=str(path.parent), policy="now")
        if ending.trials:
            self._run.log({"trials": _table(ending.trials, self._tracker.config)})
        for name, rows in ending.tables.items():
            self._run.log({name: _plain_table(rows)})
        if ending.artifact is not None:
            self._attach_artifact(ending.artifact)

    def _attach_artifact(self, folder: Path) -> None:
        name = re.sub(r"[^\w.-]", "-", f"{self._tracker.config.study.study_name}-model")
        artifact = wandb.Artifact(name, type="model")
        # Immutable and uncached: the files go out from where they lie, and no second copy of the weights is made.
        artifact.add_dir(str(folder), policy="immutable", skip_cache=True)
        self._run.log_artifact(artifact, aliases=["best"])
        if self.offline:
            return
        try:
            artifact.wait(timeout=max(1, round(self._tracker.config.tracker.finish_timeout)))
        except Exception as error:  # a time-out, the server's refusal, or an answer that the client cannot read
            self._tracker.say(
                f"W&B has not confirmed the artifact {name}: {scrub(first_line(error))}. The model is in {folder}."
            )

    def _close(self, exit_code: int) -> None:
        try:
            self._run.finish(exit_code=exit_code)
            self.arrived = not self._lost and not self.offline
        except TimeoutError:
            seconds = self._tracker.config.tracker.finish_timeout
            self._tracker.doubt(f"W&B did not take all of {self.name} within {seconds:g} s")
        except Exception as error:  # see `attempt`
            self._tracker.doubt(f"W&B could not close {self.name}: {scrub(first_line(error))}")

    def attempt(self, failure: str, action: Callable[[], object]) -> bool:
        """Whether it went well. After the first failure nothing more is tried.

        The client raises its own errors, those of the pipe to its service, and internal ones that it does not export:
        none of them may end a study.
        """
        if self._lost:
            return False
        try:
            action()
        except Exception as error:
            self._lost = True
            self._tracker.say(f"W&B: {self.name} {failure}: {scrub(first_line(error))}")
        return not self._lost


def _run_name(trial: TrialPlan, job_type: JobType) -> str:
    study = trial.config.study
    match job_type:
        case JobType.FINAL | JobType.REFIT:
            method = f"-{trial.params.get(study.compare_by)}" if study.compare_by else ""
            return f"{study.study_name}-{job_type}{method}"
        case JobType.CONFIRM:
            return f"{study.study_name}-{trial.number:04d}-seed-{trial.config.trainer.seed}"
        case _:
            return _trial_name(study, trial.number)


def _trial_name(study: StudyConfig, number: int) -> str:
    return f"{study.study_name}-{number:04d}"


class WandbTracker:
    """`account` None keeps every run offline."""

    def __init__(
        self, config: Config, run_dir: Path, *, account: Account | None, say: Say, send_every: float = SEND_EVERY
    ) -> None:
        self.config = config
        self.say = say
        self._root = run_dir.resolve()
        self._account = account
        self._send_every = send_every
        # Until it has taken a run, and again after it failed to, the server is asked before it gets the next one.
        self._doubted = True
        self._away = False
        self.runs: list[WandbRun] = []
        self._root.mkdir(parents=True, exist_ok=True)
        self._service = _set_up()
        self._base_url = (account.base_url if account else "") or self._service.settings.base_url

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        name = _run_name(trial, job_type)
        about = {"number": trial.number, "total_steps": trial.total_steps, "command": scrub(trial.command)}
        config = {**scrubbed(trial.config), "trial": about, "params": _shown(trial.params)}
        return self._start(name, job_type, config, {"optuna/number": trial.number})

    def complete(self, record: TrialRecord, events: Sequence[Step | EvalPoint]) -> bool:
        """Rows have the order of `events`, so that the server need only say how many it holds."""
        _, there, run_id = record.tracker_run.rpartition("/runs/")
        if not there or not self._online():
            return False
        settings = self._settings(_trial_name(self.config.study, record.number), JobType.TRIAL, online=True)
        settings.run_id, settings.resume = run_id, "must"
        try:
            run = wandb.init(settings=settings)
        except Exception as error:  # see `WandbRun.attempt`
            self.say(f"W&B: the run of trial {record.number} cannot be gone on with: {scrub(first_line(error))}")
            return False
        resumed = self._started(run, JobType.TRIAL, {})
        for event in [event for event in events if event.metrics][run.starting_step :]:
            resumed.log(event.step, event.metrics)
        resumed.finish(trial_ending(record, self.config.study))
        return True

    def open_study(self, config: Config) -> Run:
        return self._start(f"{config.study.study_name}-study", JobType.STUDY, scrubbed(config), {})

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:
        configs = {method: scrubbed(config) for method, config in compared.items()}
        return self._start(name, JobType.COMPARE, {"compared": configs}, {})

    def close(self, store: Store) -> Receipt:  # noqa: ARG002 - W&B itself is not asked what it holds
        for run in self.runs:
            run.finish(Ending("interrupted"))
        _put_back(self._service)
        return Receipt(tuple(self._lines()))

    def sign_in(self) -> str | None:
        """Ask the server once whether it takes the key. Returns what it says if it does not."""
        if self._account is None:
            return None
        found = probe(self._base_url, self._account.api_key)
        self._doubted = found.answer is not Answer.ALIVE
        if found.answer is Answer.AWAY:
            self._note_away(found.reason)
        if found.answer is not Answer.REJECTED:
            return None
        return f"{self._base_url} rejects the key in {self._account.source} ({found.reason})"

    def go_offline(self) -> None:
        self._account = None

    def doubt(self, trouble: str) -> None:
        self._doubted = True
        self.say(f"{trouble}; the run directory has all of it.")

    def ended(self, run: WandbRun) -> None:
        if run.arrived:
            self._doubted = False

    def _start(self, name: str, job_type: JobType, config: dict[str, Any], summary: dict[str, Any]) -> Run:
        run = self._init(name, job_type, config, online=True) if self._online() else None
        run = run or self._init(name, job_type, config, online=False)
        return NullRun() if run is None else self._started(run, job_type, summary)

    def _started(self, run: wandb.Run, job_type: JobType, summary: Mapping[str, Any]) -> WandbRun:
        started = WandbRun(run, self, job_type)
        self.runs.append(started)
        started.attempt("could not be set up", lambda: _prepare(run, summary))
        return started

    def _init(self, name: str, job_type: JobType, config: dict[str, Any], *, online: bool) -> wandb.Run | None:
        try:
            return wandb.init(settings=self._settings(name, job_type, online=online), config=config)
        except Exception as error:  # see `WandbRun.attempt`
            if online:
                self.go_offline()
                self.say(f"W&B at {self._base_url} does not take runs: {scrub(first_line(error))}")
                self.say(f"From here on runs are kept offline. {self._how_to_upload()}")
            else:
                self.say(
                    f"W&B cannot keep {name}, not even offline: {scrub(first_line(error))}; the run directory has it."
                )
            return None

    def _settings(self, name: str, job_type: JobType, *, online: bool) -> wandb.Settings:
        """New ones for each run, since the client changes those it is given."""
        tracker = self.config.tracker
        settings = wandb.Settings(
            mode="online" if online else "offline", base_url=self._base_url, root_dir=str(self._root),
            project=tracker.project, run_group=self.config.study.study_name, run_name=name, run_job_type=job_type.value,
            run_tags=tracker.tags, reinit="create_new", symlink=False, console="off", silent=True,
            init_timeout=INIT_TIMEOUT, finish_timeout=tracker.finish_timeout, finish_timeout_raises=True,
            x_file_stream_transmit_interval=self._send_every,
            # The metadata hold the command line, the user and the host; the rest costs time, and the lock file has it.
            x_disable_meta=True, x_disable_stats=True, x_save_requirements=False, x_disable_machine_info=True,
            disable_git=True, disable_code=True, save_code=False, disable_job_creation=True, label_disable=True,
        )  # fmt: skip
        if tracker.entity is not None:
            settings.entity = tracker.entity
        if online and self._account is not None and self._account.api_key is not None:
            settings.api_key = self._account.api_key
        return settings

    def _online(self) -> bool:
        if self._account is None:
            return False
        if not self._doubted:
            return True
        found = probe(self._base_url, self._account.api_key)
        if found.answer is Answer.AWAY:
            self._note_away(found.reason)
            return False
        if self._away:
            self.say(f"W&B at {self._base_url} answers again: runs go there from here on.")
        self._away = False
        return True

    def _note_away(self, reason: str) -> None:
        if not self._away:
            self.say(f"W&B at {self._base_url} does not answer ({reason}): runs are kept offline until it does.")
            self.say(self._how_to_upload())
        self._away = True

    def _how_to_upload(self) -> str:
        return f"To upload them later: wandb sync {shlex.quote(str(self._files))}/offline-run-*"

    @property
    def _files(self) -> Path:
        """As the user would type it."""
        folder = self._root / "wandb"
        return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder

    def _lines(self) -> Iterator[str]:
        arrived = [run for run in self.runs if run.arrived]
        offline = [run for run in self.runs if run.offline]
        partly = [run for run in self.runs if not run.arrived and not run.offline]
        if arrived:
            yield f"W&B: {tally(arrived)} at {arrived[-1].address.rsplit('/runs/', 1)[0]}"
        if offline:
            yield f"W&B: {tally(offline)} kept offline in {self._files}"
            yield f"  look:   wandb leet {shlex.quote(str(self._files))}"
            yield f"  upload: wandb sync {shlex.quote(str(self._files))}/offline-run-*"
        if partly:
            folders = " ".join(shlex.quote(str(self._files / run.folder.name)) for run in partly)
            yield f"W&B did not take all of {', '.join(run.name for run in partly)}"
            yield f"  upload the rest: wandb sync --include-online {folders}"


def _prepare(run: wandb.Run, summary: Mapping[str, Any]) -> None:
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP)
    run.summary.update(dict(summary))


def tally(runs: list[WandbRun]) -> str:
    counts = Counter(run.job_type for run in runs)
    rows = sum(run.rows for run in runs)
    trials = f"{counts[JobType.TRIAL]} trial run{'' if counts[JobType.TRIAL] == 1 else 's'}"
    others = [f"{counts[kind]} {kind}" for kind in JobType if kind is not JobType.TRIAL and counts[kind]]
    first = [trials] if counts[JobType.TRIAL] or not others else []
    return ", ".join([*first, *others, f"{rows} row{'' if rows == 1 else 's'}"])


@dataclass(frozen=True, slots=True)
class _Service:
    """The client's settings of the whole process, and what they were before the study."""

    settings: Any
    before: Mapping[str, Any]


# The client would take a run's sweep, id or way to resume from the environment in place of ours.
_DISTURBING = ("sweep_id", "sweep_param_path", "run_id", "resume", "resume_from", "fork_from", "launch", "config_paths")
# What the client itself changes as soon as a run brings a key.
_CHANGED_BY_CLIENT = ("api_key", "base_url")


def _set_up() -> _Service:
    settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
    before = {name: getattr(settings, name) for name in (*_DISTURBING, *_CHANGED_BY_CLIENT)}
    for name in _DISTURBING:
        setattr(settings, name, False if name == "launch" else None)
    return _Service(settings, before)


def _put_back(service: _Service) -> None:
    for name, value in service.before.items():
        setattr(service.settings, name, value)


@contextmanager
def _staging_in(folder: Path) -> Iterator[None]:
    """Where the client copies what it is about to upload: in the run directory, unless the user has named a place."""
    places = {"WANDB_DATA_DIR": folder / "staging", "WANDB_CACHE_DIR": folder / "cache"}
    ours = {name: str(place) for name, place in places.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _table(trials: tuple[TrialRecord, ...], config: Config) -> wandb.Table:
    keys = list(dict.fromkeys(key for trial in trials for key in trial.params))
    columns: list[str | int] = ["number", "state", *keys, config.study.metric, "best epoch"]
    rows: list[Iterable[Any]] = [
        [trial.number, trial.state, *(trial.params.get(key) for key in keys), *_score(trial, config)]
        for trial in trials
    ]
    return wandb.Table(columns=columns, data=rows, allow_mixed_types=True)


def _plain_table(rows: Sequence[Mapping[str, Any]]) -> wandb.Table:
    columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
    data: list[Iterable[Any]] = [[row.get(str(column)) for column in columns] for row in rows]
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)


def _score(trial: TrialRecord, config: Config) -> tuple[float | None, float | None]:
    best = best_evaluation(trial.outcome, config.study)
    return (best.metrics[config.study.metric], best.epoch) if best else (None, None)


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: scrub(value) if isinstance(value, str) else value for name, value in values.items()}
