"""The output of a running study: one live block in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from sweep.config.batch import EFFECTIVE, PER_DEVICE, SPLIT
from sweep.config.schema import StudyConfig
from sweep.records.trial import (
    Completed,
    EvalPoint,
    Failed,
    Outcome,
    Pruned,
    Step,
    TrialPlan,
    TrialRecord,
    best_metrics,
    outcome_value,
)
from sweep.study.time_left import TimeLeft, Training

PLAIN_SECONDS = 15.0  # between two plain lines, at most


@dataclass(slots=True)
class View:
    """Shows the progress of the trainings that are reported to it. Use it as a context manager.

    Several trainings may run at once. Each is known by its title, from `begin` to `ended` or
    `over`.
    """

    study: StudyConfig
    console: Console = field(default_factory=lambda: Console(file=sys.stderr, highlight=False))
    memory: Callable[[], int] | None = None  # gives the bytes in use
    device: str = "cpu"  # the name of the trials' device
    groups: int = 1  # values that are compared (study.compare_by)
    part: float = 1.0  # of all trials' training, where the pruner pauses trials
    refits: bool = False  # each retraining is followed by one on all rows
    on_workers: bool = False  # trials are trained there
    _bar: Progress = field(init=False)
    _live: Live | None = field(init=False, default=None)
    _done: int = field(init=False, default=0)
    _wanted: int = field(init=False, default=0)
    _best: str = field(init=False, default="")
    _values: str = field(init=False, default="")  # of the best trial
    _left: TimeLeft = field(init=False)
    _last_line: float = field(init=False, default=0.0)
    _running: dict[str, TaskID] = field(init=False, default_factory=dict)
    _heading: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._left = TimeLeft(self.study, self.groups, self.part, self.refits)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(30), TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
            TextColumn("epoch {task.fields[epoch]:.1f}"), TimeRemainingColumn(), console=self.console,
        )  # fmt: skip

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self._live = Live(self._block(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line that stays, above the live block."""
        self.console.print(text, markup=False, soft_wrap=True)

    def limited(self, seconds: Callable[[], float | None]) -> None:
        """Take into account the seconds that limits leave to the search; None for no limit."""
        self._left.limit = seconds

    def count(self, done: int, wanted: int, best: TrialRecord | None, *, most: int | None = None) -> None:
        """Show how many of the wanted trials are done, and the best one. The study can come to
        `most` trials, by its budget."""
        self._done, self._wanted, self._left.most = done, wanted, most
        if best is not None:
            score = best_metrics(best)[self.study.metric]
            self._best = f"best {self.study.metric} {score:.4f} ({trial_title(best.number)})"
            self._values = _settings(best)
        self._refresh()

    def begin(
        self,
        trial: TrialPlan,
        title: str,
        *,
        again: int | None = None,
        since: int | None = None,
        promoted: bool = False,
    ) -> None:
        """Show a training that begins, or goes on, as the pruner has `promoted` it.

        `again` is the number of a stopped trial whose point this trial retries; `since` is the
        step of the snapshot of a stopped training, 0 where it has none.
        """
        training = Training(since or 0, trial.total_steps, search=title == trial_title(trial.number))
        self._left.begin(title, training, self._done)
        self._running[title] = self._bar.add_task(title, total=trial.total_steps, completed=since or 0, epoch=0.0)
        values = _settings(trial)
        self._heading = title
        before = ""
        if since is not None:
            how = "promoted" if promoted else "taken up"
            before = f"{how}, with a snapshot after step {since}" if since else f"{how} {self._without(trial)}"
        elif again is not None:
            before = f"trial {again} was stopped, and its point is tried again"
        self.say(f"{title}: {f'{before}: ' if before else ''}{values or 'as configured'}")
        self._last_line = time.monotonic()
        self._refresh()

    def _without(self, trial: TrialPlan) -> str:
        """Return what a training goes on with that has no snapshot in the run directory."""
        kept = self.on_workers and trial.kept_on_worker and trial.settings.snapshot_every is not None
        return "with the snapshot that its worker kept, if any" if kept else "without a snapshot"

    def put_aside(self, title: str, share: float) -> None:
        """Take into account a trial that is paused after this share of its steps."""
        self._left.put_aside(title, share)

    def step(self, title: str, step: Step) -> None:
        self._bar.update(self._running[title], completed=step.step, epoch=step.epoch)
        self._left.step(title, step.step)
        self._refresh()
        if self._live is None and time.monotonic() - self._last_line > PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self.say(self._progress(title, step))

    def evaluated(self, title: str, point: EvalPoint) -> None:
        shown = f"{self.study.metric} {point.metrics[self.study.metric]:.4f}"
        if self.study.metric != "eval/loss":
            shown += f", eval/loss {point.metrics['eval/loss']:.4f}"
        self._last_line = time.monotonic()
        self.say(f"{self._whose(title)}epoch {point.epoch:.4g}: {shown}")

    def ended(self, title: str, state: str, detail: str) -> None:
        self.over(title)
        self.say(f"{title}: {state}{f', {detail}' if detail else ''}")

    def closed(self, title: str, state: str, outcome: Outcome) -> None:
        """Show how a trial ended, with its scores or the reason of its failure."""
        self.ended(title, state, _result(outcome, self.study))

    def over(self, title: str) -> None:
        """Remove a training from the live block, without a line."""
        self._left.over(title)
        if title in self._running:
            self._bar.remove_task(self._running.pop(title))
        if title != self._heading:
            self._heading = ""
        self._refresh()

    def print_progress(self) -> None:
        """Print how far the study is; nothing in a terminal, where the live block shows it."""
        if self._live is None:
            best = [f"{self._best}: {self._values}" if self._values else self._best] if self._best else []
            self.say(", ".join([f"{_trials(self._done, self._wanted)}", *best, *self._facts()]))

    def _facts(self) -> list[str]:
        """Return the remaining time of the study and the memory in use, as far as they are
        known."""
        left = self._left.seconds(self._done, self._wanted)
        place = "memory" if self.device == "cpu" else "device memory"
        memory = f"{place} {self.memory() / 2**30:.1f} GiB" if self.memory else ""
        return [fact for fact in (f"about {clock(left)} left" if left else "", memory) if fact]

    def _whose(self, title: str) -> str:
        """Return the start of a training's line: its title, or two spaces if it runs alone below
        its own heading."""
        if len(self._running) == 1 and self._heading == title:
            return "  "
        self._heading = ""
        return f"{title}, "

    def _progress(self, title: str, step: Step) -> str:
        """Return one line on the progress of all running trainings."""
        tasks = self._bar.tasks
        if len(tasks) > 1:
            self._heading = ""
            far = "; ".join(f"{task.description} at {task.percentage:.0f} %" for task in tasks)
            return f"{len(tasks)} running: {far}{_time_left(tasks)}"
        where = f"step {step.step}/{step.total_steps}, epoch {step.epoch:.1f}"
        return f"{self._whose(title)}{where}{_time_left(tasks)}"

    def _refresh(self) -> None:
        if self._live:
            self._live.update(self._block())

    def _block(self) -> Group:
        counted = f"trials {self._done}/{self._wanted}" if self._done <= self._wanted else f"trials {self._done}"
        lines = [Text("  ".join([f"{self.study.study_name}  {counted}", *self._facts()]), style="bold")]
        if self._best:
            lines.append(Text(f"{self._best}  {self._values}"))
        return Group(*lines, self._bar)


def trial_title(number: int) -> str:
    """Return the title of a trial of the search."""
    return f"trial {number}"


def _trials(done: int, wanted: int) -> str:
    """Return the numbers of done and wanted trials; more may be done than are wanted now."""
    return f"{done}/{wanted} trials" if done <= wanted else f"{done} trials ({wanted} wanted)"


def clock(seconds: float) -> str:
    """Return a rough duration in a unit that suits it."""
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _time_left(tasks: Sequence[Task]) -> str:
    """Return the seconds until the last running training ends; empty if they are not known yet."""
    left = [task.time_remaining for task in tasks]
    known = [seconds for seconds in left if seconds is not None]
    return f", {max(known):.0f} s left" if known and len(known) == len(left) else ""


def _settings(trial: TrialPlan | TrialRecord) -> str:
    """Return the values of a trial on one line."""
    return ", ".join(_setting(trial, key) for key in trial.params)


def _setting(trial: TrialPlan | TrialRecord, key: str) -> str:
    used = f" ({_short(trial.used[key])} used)" if key in trial.used else ""
    if key == EFFECTIVE and PER_DEVICE in trial.used:
        used = f" ({' × '.join(_short(trial.used[part]) for part in SPLIT)})"
    return f"{key.rpartition('.')[2]}={_short(trial.params[key])}{used}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _result(outcome: Outcome, study: StudyConfig) -> str:
    """Return what the line of a trial that has ended says beside its state."""
    metric, second = study.metric, study.second
    match outcome:
        case Completed(best=best):
            also = "" if second is None else f", {second.metric} {outcome_value(outcome, second):.4g}"
            return f"{metric} {best.metrics[metric]:.4f} at epoch {best.epoch:g}{also}"
        case Pruned(evals=evals):
            return f"{metric} {evals[-1].metrics[metric]:.4f} at epoch {evals[-1].epoch:g}" if evals else ""
        case Failed(message=message):
            return message
