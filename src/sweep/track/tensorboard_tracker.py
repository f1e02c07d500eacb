"""TensorBoard: a folder of event files for each training, with the searched values for its hparams
plugin, and the report.

The files are written by the package `tensorboard` alone, which needs neither TensorFlow nor torch.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sweep.config.schema import Config, Scalar, Section
from sweep.config.secrets import scrub, scrub_typed, scrubbed
from sweep.records.trial import EvalPoint, Metrics, Step, TrialPlan
from sweep.track.addresses import short_name
from sweep.track.tracker import PUT_AWAY, CutRun, Ending, JobType, Run, Say, StoppedRun, trial_rows

FOLDER = "tensorboard"

# A file beside a run's event files, which exists until the run has ended.
_OPEN = ".open"

# Seconds between two writes to the disk.
_FLUSH_EVERY = 5


class TensorboardSettings(Section):
    """The keys of `tracker=tensorboard`: none."""


class TensorboardTracker:
    """Writes event files to `RUN_DIR/tensorboard`.

    If a training begins again, its earlier files are deleted.
    """

    Settings: ClassVar[type[Section]] = TensorboardSettings
    requires: ClassVar[Mapping[str, str]] = {"tensorboard": "pip install 'sweep[tensorboard]'"}

    def __init__(self, config: Config, run_dir: Path, *, settings: TensorboardSettings, say: Say) -> None:  # noqa: ARG002
        self._config = config
        self._folder = run_dir / FOLDER
        self._runs: list[TensorboardRun] = []
        self._left_open = {mark.parent.name for mark in self._folder.glob(f"*/{_OPEN}")}

    def open(self, trial: TrialPlan, job_type: JobType = JobType.TRIAL) -> Run:
        run = self._start(short_name(trial, job_type))
        if job_type is JobType.TRIAL:
            run.begin_session(trial.params, name=f"trial {trial.number}")
        run.write_text("command", f"`{scrub_typed(trial.command)}`")
        run.write_text("config", _as_code(scrubbed(trial.config)))
        return run

    def resume(self, trial: TrialPlan, stopped: StoppedRun) -> Run | None:  # noqa: ARG002
        """Return a run that writes the missing rows, and those that follow, to another file in the
        run's folder."""
        folder = self._folder / Path(stopped.address).name
        return self._gone_on(folder, stopped.job_type, stopped.events) if folder.exists() else None

    def left_open(self, address: str) -> bool:
        return Path(address).name in self._left_open

    def complete(self, cut: CutRun) -> bool:
        """Write the missing rows and the end to another file in the run's folder.

        Return False if it has no folder.
        """
        folder = self._folder / Path(cut.address).name
        if not cut.address or not folder.exists():
            return False
        self._gone_on(folder, cut.job_type, cut.events).finish(cut.ending)
        return True

    def open_study(self, config: Config) -> Run:
        run = self._start("study")
        run.write_text("config", _as_code(scrubbed(config)))
        return run

    def resume_study(self, config: Config, stopped: StoppedRun) -> Run | None:  # noqa: ARG002
        folder = self._folder / Path(stopped.address).name
        return self._gone_on(folder, JobType.STUDY, stopped.events) if folder.exists() else None

    def open_comparison(self, name: str, compared: Mapping[str, Config]) -> Run:  # noqa: ARG002
        run = self._start("compare")
        for one, config in compared.items():
            run.write_text(f"config/{one}", _as_code(scrubbed(config)))
        return run

    def close(self) -> tuple[str, ...]:
        for run in self._runs:
            run.finish(PUT_AWAY)
        if not self._runs:
            return ()
        runs = len({run.address for run in self._runs})  # one that was stopped and went on is one
        count = f"{runs} run{'' if runs == 1 else 's'}"
        folder = shlex.quote(str(self._folder))
        return f"TensorBoard: {count} in {self._folder}", f"  look: tensorboard --logdir {folder}"

    def _gone_on(self, folder: Path, job_type: JobType, events: Sequence[Step | EvalPoint]) -> TensorboardRun:
        there = written_steps(folder)
        run = TensorboardRun(folder, self._config)
        run.session = job_type is JobType.TRIAL
        self._left_open.discard(folder.name)
        self._runs.append(run)
        for event in events:
            run.log(event.step, {name: value for name, value in event.metrics.items() if event.step not in there[name]})
        return run

    def _start(self, name: str) -> TensorboardRun:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        run = TensorboardRun(folder, self._config)
        self._runs.append(run)
        return run


class TensorboardRun:
    def __init__(self, folder: Path, config: Config) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._open = folder / _OPEN
        self._open.touch()
        self.address = str(folder)
        self._config = config
        self._writer = EventFileWriter(str(folder), flush_secs=_FLUSH_EVERY)
        self.session = False  # whether the hparams plugin shows the run
        self._ended = False
        self._last_step = 0

    def log(self, step: int, metrics: Metrics) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._last_step = max(self._last_step, step)
        for name, value in metrics.items():
            self._write(scalar_pb(name, float(value)), step)

    def write_text(self, name: str, markdown: str) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write(text_pb(name, markdown), self._last_step)

    def begin_session(self, params: Mapping[str, Scalar], *, name: str) -> None:
        """Write the searched values, as the hparams plugin reads them."""
        from tensorboard.plugins.hparams import plugin_data_pb2

        self.session = True
        start = plugin_data_pb2.SessionStartInfo(group_name=name, start_time_secs=time.time())
        for key, value in params.items():
            match value:
                case None:
                    start.hparams[key].string_value = "null"
                case bool():
                    start.hparams[key].bool_value = value
                case int() | float():
                    start.hparams[key].number_value = value
                case _:
                    start.hparams[key].string_value = scrub(value)
        self._write_hparams("session_start_info", start)
        self._writer.flush()

    def finish(self, ending: Ending) -> None:
        """End the run: write the summary's numbers at the last step, its texts, the report and the
        end of the session."""
        if self._ended:
            return
        self._ended = True
        try:
            for name, value in (ending.summary or {}).items():
                if isinstance(value, str):
                    self.write_text(name, scrub(value))
                else:
                    self.log(self._last_step, {name: value})
            self.write_text("state", ending.state)
            self._attach(ending)
            if self.session and not ending.resumable:
                self._end_session(ending)
        finally:
            self._writer.close()
        self._open.unlink(missing_ok=True)

    def _attach(self, ending: Ending) -> None:
        for path in (path for path in ending.files if path.suffix == ".md"):
            self.write_text(path.stem, path.read_text(errors="replace"))
        if ending.trials:
            self.write_text("trials", _table(trial_rows(ending.trials, self._config.study)))
        for name, rows in ending.all_tables.items():
            self.write_text(name, _table(rows))

    def _end_session(self, ending: Ending) -> None:
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        status = api_pb2.STATUS_SUCCESS if ending.code == 0 else api_pb2.STATUS_FAILURE
        info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        self._write_hparams("session_end_info", info)

    def _write_hparams(self, kind: str, info: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **{kind: info})
        about = metadata.create_summary_metadata(data)
        value = Summary.Value(tag=f"_hparams_/{kind}", metadata=about, tensor=metadata.NULL_TENSOR)
        self._write(Summary(value=[value]), 0)

    def _write(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def written_steps(folder: Path) -> Mapping[str, set[int]]:
    """Return the steps of each metric in the files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    there: dict[str, set[int]] = defaultdict(set)
    for name in files.Tags()["tensors"]:
        there[name].update(event.step for event in files.Tensors(name))
    return there


def _as_code(values: Mapping[str, Any]) -> str:
    """Return a code block in Markdown with a line for each value."""
    return "\n".join(f"    {line}" for line in _lines(values, ""))


def _lines(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {value}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    body = [[str(row.get(column, "")).replace("|", "\\|") for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, ["---"] * len(columns), *body))
