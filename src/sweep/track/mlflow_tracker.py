"""MLflow: an experiment for the study, a run for each training, and one for the study itself.

`MlflowClient` is used without MLflow's global state (`mlflow.start_run`), since several trials
train at once.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import shlex
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from sweep.config.schema import Config, Section
from sweep.config.secrets import scrub, scrub_typed, scrubbed
from sweep.records.store import Store
from sweep.records.trial import EvalPoint, Metrics, Step, TrialPlan
from sweep.track.addresses import short_name
from sweep.track.tracker import PUT_AWAY, CutRun, Ending, JobType, Run, Say, StoppedRun, trial_rows

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FOLDER = "mlflow"
_DATABASE = "mlflow.db"

# Set before the client is imported, unless the user has set them: no telemetry, and short time
# limits for a server that does not answer.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}  # fmt: skip
_IN_EACH_ROW = "study/trials_ended"  # a metric of every row of a study
_AT_ONCE = 100  # parameters of one request; the limit of metrics is 1,000
_MOST_RUNS = 50_000  # the most runs that a search returns
_LONGEST = 6000  # characters of a parameter's value
_NOT_IN_NAME = re.compile(r"[^\w./ :-]")
_SERVER = re.compile(r"https?://|databricks\b")
_SCHEME = re.compile(r"(?:https?|sqlite|postgresql|mysql|mssql)(?:\+\w+)?://|databricks\b")
# Parts of the config that do not describe a trial.
_LEFT_OUT = ("published", "tracker", "run_dir")


class MlflowSettings(Section):
    """The keys of `tracker=mlflow`."""

    uri: str | None = Field(
        None, description="a server or a database; null takes MLFLOW_TRACKING_URI, else RUN_DIR/mlflow"
    )
    experiment: str | None = Field(None, min_length=1, description="null takes the study's name")
    log_model: bool = True

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, uri: str | None) -> str | None:
        if uri is not None and not _SCHEME.match(uri):
            raise PydanticCustomError("uri", "must begin with http://, https://, sqlite:///, postgresql:// or mysql://")
        return uri


class MlflowTracker:
    """Logs a study as an MLflow experiment.

    A resumed study finds its runs by a tag with the id of the run directory.
    """

    Settings: ClassVar[type[Section]] = MlflowSettings
    requires: ClassVar[Mapping[str, str]] = {"mlflow": "pip install 'sweep[mlflow]'"}

    def __init__(self, config: Config, run_dir: Path, *, settings: MlflowSettings, say: Say) -> None:  # noqa: ARG002
        self._config = config
        self._store = Store(run_dir)
        self._settings = settings
        self._folder = run_dir / FOLDER
        self._given = settings.uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._uri = self._given or _sqlite(self._folder)
        if not self._given:
            _make_tables(self._folder)
        self.client = _client(self._uri)
        self.experiment = self._experiment(settings.experiment or scrub_typed(config.study.study_name))
        self._runs: list[MlflowRun] = []
        known = self._store.known_identity()
        self._left_open = self._found("attributes.status = 'RUNNING'") if known else {}
        noted = " ".join(self._store.noted_runs() if self._left_open else ())
        self._unnoted = {run_id for run_id in self._left_open if run_id not in noted}

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        name = short_name(trial, job_type)
        tags = {"sweep.number": str(trial.number), "sweep.command": scrub_typed(trial.command),
                "sweep.total_steps": str(trial.total_steps), "sweep.searched": ", ".join(trial.params)}  # fmt: skip
        run = self._start(name, job_type, tags)
        run.describe({**_flat(scrubbed(trial.config)), **trial.params})
        return run

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:  # noqa: ARG002
        """Set the run's status to RUNNING, log the missing rows, and return the run."""
        if not (run_id := _id_at(stopped.address)):
            return None
        self.client.update_run(run_id, status="RUNNING")
        self._left_open.pop(run_id, None)
        run = MlflowRun(self, run_id, stopped.job_type)
        self._runs.append(run)
        run.complete(stopped.events)
        return run

    def left_open(self, address: str) -> bool:
        return _id_at(address) in self._left_open

    def complete(self, cut: CutRun) -> bool:
        """Log the missing rows, and end the run. Return False if the address is not MLflow's."""
        if not (run_id := _id_at(cut.address)):
            return False
        run = MlflowRun(self, run_id, cut.job_type)
        run.complete(cut.events)
        run.finish(cut.ending)
        self._left_open.pop(run_id, None)
        self._runs.append(run)
        return True

    def open_study(self, config: Config) -> Run:
        """Return the study's run; that of a resumed study is opened again, and its report and
        summary are replaced."""
        known = next(iter(self._found(f"tags.`sweep.job_type` = '{JobType.STUDY}'")), None)
        if known is not None:
            self.client.update_run(known, status="RUNNING")
            self._left_open.pop(known, None)
            run = MlflowRun(self, known, JobType.STUDY)
            run.know_rows()
            self._runs.append(run)
        else:
            run = self._start("study", JobType.STUDY, {})
        self.client.log_dict(run.id, scrubbed(config), "config.json")
        return run

    def resume_study(self, config: Config, stopped: StoppedRun) -> Run | None:
        run = self.open_study(config)
        assert isinstance(run, MlflowRun)
        run.complete(stopped.events)
        return run

    def end_lost(self) -> None:
        """End the runs that killed processes left without an end. Those with a record are
        completed by now."""
        for run_id in self._left_open:
            _end_as_lost(self.client, run_id)
        self._left_open.clear()

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:
        run = self._start(name, JobType.COMPARE, {})
        self.client.log_dict(run.id, {one: scrubbed(config) for one, config in compared.items()}, "compared.json")
        return run

    def close(self) -> tuple[str, ...]:
        for run in self._runs:
            run.finish(PUT_AWAY)
        counts = Counter({run.id: run.job_type for run in self._runs}.values())
        if not counts:
            return ()
        runs = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        arrived = f"MLflow: runs {runs}, at {self._shown()}"
        look = (
            f"  look: mlflow ui --backend-store-uri {shlex.quote(self._uri)}  (of the full package, not mlflow-skinny)"
        )
        return (arrived,) if self._given else (arrived, look)

    def address(self, run_id: str) -> str:
        """Return the address of a run in MLflow's web interface."""
        return f"{self._shown()}/#/experiments/{self.experiment}/runs/{run_id}"

    @property
    def log_model(self) -> bool:
        return self._settings.log_model

    @property
    def config(self) -> Config:
        return self._config

    def _shown(self) -> str:
        return scrub(self._given).rstrip("/") if self._given else str(self._folder)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # A server stores files itself; for a database the client would use the current folder.
        place = None if _SERVER.match(self._uri) else (self._folder / "artifacts").resolve().as_uri()
        return str(self.client.create_experiment(name, artifact_location=place))

    def _start(self, name: str, job_type: JobType, tags: Mapping[str, str]) -> MlflowRun:
        """Return a new run, or one that an earlier process had opened when it was killed, but not
        noted yet."""
        study = scrub_typed(self._config.study.study_name)
        own = {"sweep.study": study, "sweep.job_type": str(job_type), "sweep.run_dir": self._store.identity()}
        run_id = next((one for one, known in self._left_open.items() if known == name and one in self._unnoted), None)
        if run_id is None:
            found = self.client.create_run(self.experiment, run_name=name, tags={**own, **tags})
            run_id = str(found.info.run_id)
        self._left_open.pop(run_id, None)
        run = MlflowRun(self, run_id, job_type)
        self._runs.append(run)
        return run

    def _found(self, rule: str) -> dict[str, str]:
        """Return the names of this run directory's runs in the experiment that match the filter,
        by their ids."""
        own = f"tags.`sweep.run_dir` = '{self._store.known_identity()}'"
        found = self.client.search_runs([self.experiment], filter_string=f"{own} and {rule}", max_results=_MOST_RUNS)
        return {str(run.info.run_id): str(run.info.run_name) for run in found}


class MlflowRun:
    def __init__(self, owner: MlflowTracker, run_id: str, job_type: JobType) -> None:
        self.id = run_id
        self.job_type = job_type
        self._owner = owner
        self._client = owner.client
        self._ended = False
        self._last_step = 0
        self._known: set[int] = set()  # seconds whose rows an earlier process logged

    @property
    def address(self) -> str:
        return self._owner.address(self.id)

    def describe(self, params: Mapping[str, Any]) -> None:
        """Log the parameters that the run has not yet: MLflow changes none."""
        from mlflow.entities import Param

        there = self._client.get_run(self.id).data.params
        values = {_name(key): str(value)[:_LONGEST] for key, value in params.items() if value is not None}
        entries = [Param(key, value) for key, value in values.items() if key not in there]
        for start in range(0, len(entries), _AT_ONCE):
            self._client.log_batch(self.id, params=entries[start : start + _AT_ONCE])

    def know_rows(self) -> None:
        """Leave out the rows that the run of a study has already, when they are logged again."""
        self._known = self._steps([_IN_EACH_ROW])[_IN_EACH_ROW]

    def log(self, step: int, metrics: Metrics) -> None:
        if step not in self._known:
            self._send(step, metrics)

    def _send(self, step: int, metrics: Metrics) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._last_step = max(self._last_step, step)
        rows = [Metric(_name(name), float(value), now, step) for name, value in metrics.items()]
        if rows:
            self._client.log_batch(self.id, metrics=rows)

    def finish(self, ending: Ending) -> None:
        """End the run. Numbers of the summary become metrics at step 0, texts become tags.

        MLflow shows the newest value of a metric: those of a study, some of which have rows, are
        at its last step.
        """
        if self._ended:
            return
        self._ended = True
        summary = ending.summary or {}
        step = self._last_step if self.job_type is JobType.STUDY else 0
        self._send(step, {name: value for name, value in summary.items() if not isinstance(value, str)})
        texts = {name: scrub(value) for name, value in summary.items() if isinstance(value, str)}
        for name, text in ({"sweep.state": ending.state} | texts).items():
            self._client.set_tag(self.id, _name(name), text[:_LONGEST])
        self._attach(ending)
        status = "FINISHED" if ending.code == 0 else "KILLED" if ending.state == "interrupted" else "FAILED"
        self._client.set_terminated(self.id, status)
        if self.job_type is JobType.STUDY and not ending.code:
            self._owner.end_lost()

    def complete(self, events: Sequence[Step | EvalPoint]) -> None:
        """Log the rows that the run lacks."""
        there = self._steps({name for event in events for name in event.metrics})
        for event in events:
            self._send(
                event.step, {name: value for name, value in event.metrics.items() if event.step not in there[name]}
            )

    def _steps(self, names: Iterable[str]) -> Mapping[str, set[int]]:
        """Return the logged steps of each metric."""
        there: dict[str, set[int]] = defaultdict(set)
        for name in names:
            there[name].update(row.step for row in self._client.get_metric_history(self.id, _name(name)))
        return there

    def _attach(self, ending: Ending) -> None:
        for path in ending.files:
            self._client.log_artifact(self.id, str(path))
        if ending.trials:
            self._client.log_text(self.id, _csv(trial_rows(ending.trials, self._owner.config.study)), "trials.csv")
        for name, rows in ending.all_tables.items():
            self._client.log_text(self.id, _csv(rows), f"{_name(name)}.csv")
        if ending.artifact is not None and self._owner.log_model:
            self._client.log_artifacts(self.id, str(ending.artifact), "model")


def _client(uri: str) -> MlflowClient:
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(uri)


def _make_tables(folder: Path) -> None:
    """Create the database if there is none.

    It gets its name once it has all tables: MLflow cannot use one without.
    """
    database, begun = folder / _DATABASE, folder / ".new"
    if database.exists():
        return
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    _client(_sqlite(begun)).search_experiments(max_results=1)
    (begun / _DATABASE).replace(database)
    shutil.rmtree(begun, ignore_errors=True)


def _sqlite(folder: Path) -> str:
    """Return the address of the database.

    SQLAlchemy reads `?` and `%` as parts of an address, so that they are escaped. For `sqlite:///`
    MLflow would create a folder with the escaped name; it does not for a scheme that names the
    driver.
    """
    path = str(folder.resolve() / _DATABASE)
    if not set(path) & set("?%"):
        return f"sqlite:///{path}"
    return f"sqlite+pysqlite:///{path.replace('%', '%25').replace('?', '%3F')}"


def _id_at(address: str) -> str:
    return address.rpartition("/runs/")[2] if "/runs/" in address else ""


def _end_as_lost(client: MlflowClient, run_id: str) -> None:
    """End a run of a killed process, whose trial is retried in another run."""
    client.set_tag(run_id, "sweep.state", "lost")
    client.set_terminated(run_id, "KILLED")


def _name(name: str) -> str:
    """Return a name that MLflow accepts: a relative path of letters, digits, spaces, `_-.:`."""
    parts = _NOT_IN_NAME.sub("_", name).split("/")
    return "/".join(part if part.strip(".") else "_" for part in parts)[:250]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values by dotted key, with lists as JSON."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if not prefix and key in _LEFT_OUT:
            continue
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
