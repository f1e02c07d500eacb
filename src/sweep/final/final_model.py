"""A model of the last steps, seen from the study: its calls go to the worker that has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from sweep.data.splits import Rows
from sweep.engine.evaluation import Measured, Predictions
from sweep.errors import UserError, naming
from sweep.final.local_model import Listener, LocalModel, Saving, Training, TrainingEnd
from sweep.final.training_listener import TrainingListener
from sweep.launch.launcher import Hosted
from sweep.launch.lost import WorkerLostError, on_host
from sweep.records.final import Parameters
from sweep.study.losses import Losses
from sweep.study.session import Session

T = TypeVar("T")

_PAUSE = 0.25  # seconds between two questions of a worker about steps without metrics


@dataclass(frozen=True, slots=True)
class FinalModel:
    """The methods of `LocalModel`, wherever it is. `shares_disk`: it writes to the run directory
    itself."""

    hosted: Hosted
    shares_disk: bool

    @property
    def host(self) -> str:
        """Return the name of its machine; empty in this process."""
        return self.hosted.host

    def train(self, training: Training, listener: Listener) -> TrainingEnd:
        plan = replace(training.plan, host=self.hosted.host, worker=self.hosted.worker)
        found: TrainingEnd = self.hosted.call("train", replace(training, plan=plan), callbacks=listener)
        return found

    def validation(self) -> Predictions:
        found: Predictions = self.hosted.call("validation")
        return found

    def test(self, rows: Rows) -> tuple[Predictions, Measured]:
        predictions, before = self.hosted.call("test", rows)
        failed = {name: on_host(reason, self.host) for name, reason in before.failed.items()}
        return predictions, replace(before, failed=failed)

    def parameters(self) -> Parameters:
        found: Parameters = self.hosted.call("parameters")
        return found

    def save(self, folder: Path, saving: Saving) -> None:
        """Write the model to a folder of this machine."""
        if self.shares_disk:
            self.hosted.call("save", folder, saving)
        else:
            self.hosted.call("send", saving, callbacks=_Files(folder))


@dataclass(frozen=True, slots=True)
class _Files:
    """Writes the files of a model that a worker sends."""

    folder: Path

    def part(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path), path.open("ab") as file:
            file.write(data)


def with_model(session: Session, work: Callable[[FinalModel], T], watch: TrainingListener) -> T:
    """Return what `work` makes of a model that is not trained yet, whose training is watched;
    `work` is called again, with another model, where a worker is lost.

    Raises UserError after three losses in a row that gained no step.
    """
    losses = Losses()
    while True:
        try:
            with _placed(session) as model:
                return work(model)
        except WorkerLostError as lost:
            losses = losses.and_one(watch.reached())
            if losses.too_many:
                rule = f"one worker after the other was lost in the same training; of the last one is known: {lost}"
                raise UserError.of("", f"{rule}. All trials are kept.") from None
            where = f" after step {kept:,}" if (kept := watch.kept_step()) else ""
            session.view.say(f"note: {lost}; the training goes on{where}, on another worker")


@contextmanager
def _placed(session: Session) -> Iterator[FinalModel]:
    here = session.launcher.inline
    with session.hosted(partial(LocalModel, pause=0.0 if here else _PAUSE)) as hosted:
        yield FinalModel(hosted, shares_disk=here)
