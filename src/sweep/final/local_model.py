"""A model of the last steps where it is trained: in this process, or on a worker.

Everything that goes in or comes out is a plain value that can be pickled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sweep.config.schema import Config
from sweep.data.splits import Rows
from sweep.data.tokenise import TokenisedData, tokenise
from sweep.engine import memory
from sweep.engine.evaluation import Measured, Predictions
from sweep.engine.protocol import StudyCallbacks
from sweep.engine.trainer import Trained, trained
from sweep.engine.untrained import before
from sweep.errors import ADVICE, UserError, first_line
from sweep.launch.kept_snapshots import Kept, newest
from sweep.model import artifact
from sweep.model.account import count
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.cost import Cost
from sweep.records.final import Parameters, Refit
from sweep.records.snapshot import Snapshot
from sweep.records.snapshots import RETRAIN
from sweep.records.trial import EvalPoint, Failed, FailureReason, Metrics, Outcome, Step, TrialPlan, Verdict

_PART = 16 * 2**20  # bytes of a file that are sent at once


@dataclass(frozen=True, slots=True)
class Training:
    """A training of the last steps: a retraining on the train rows, or a `refit` on train and
    validation rows together, without evaluations.

    With `as_packed` dropout uses the random masks that the trial had in a pack. Snapshots go to
    the listener, unless they are `kept` where it is trained.
    """

    plan: TrialPlan
    as_packed: bool
    refit: bool = False
    kept: Kept | None = None

    @property
    def done(self) -> str:
        """Return the word for it in messages."""
        return "refitted" if self.refit else "retrained"


@dataclass(frozen=True, slots=True)
class TrainingEnd:
    """The end of a training. `outcome` is None for a refit that did not fail, as nothing evaluated
    it."""

    cost: Cost
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Saving:
    """The values that `sweep.model.artifact.save` writes beside the weights of a model."""

    config: Config
    metrics: Metrics = field(default_factory=dict)
    thresholds: tuple[float, ...] | None = None
    refit: Refit | None = None
    temperature: float | None = None


class Listener(Protocol):
    """The study's answers to the events of a training."""

    def step(self, step: Step) -> Verdict: ...

    def evaluated(self, point: EvalPoint) -> Verdict: ...

    def snapshot(self, snapshot: Snapshot) -> None: ...


class Receiver(Protocol):
    """Takes the files of a model."""

    def part(self, name: str, data: bytes) -> None:
        """Append to the file called `name`."""


class LocalModel:
    """A model that is trained once, and then scores rows and is saved. Running out of memory
    raises UserError.

    Its listener is asked about steps without metrics once in `pause` seconds.
    """

    def __init__(self, base_models: BaseModelCache, data: TokenisedData, *, pause: float = 0.0) -> None:
        self._base_models = base_models
        self._data = data
        self._pause = pause
        self._asked = 0.0
        self._open = ExitStack()
        self._training: Training | None = None
        self._result: Trained | None = None
        self._saved = False

    def train(self, training: Training, listener: Listener) -> TrainingEnd:
        """Train the model, from the snapshot of its plan on where there is one. Return how it
        ended."""
        training, keep = _with_kept_snapshot(training, listener)
        self._training = training
        splits, refit = self._data.splits, training.refit
        data = TokenisedData(splits.merged, self._data.cache) if refit else self._data

        def step(taken: Step) -> Verdict:
            return self._step(taken, listener)

        with self._memory_errors():
            result = self._open.enter_context(
                trained(
                    training.plan, base_models=self._base_models, data=data,
                    study=StudyCallbacks(step, listener.evaluated, keep), evaluated=not refit,
                    as_packed=training.as_packed, snapshot_at_end=True, as_planned=True,
                )
            )  # fmt: skip
        self._result = result
        outcome = result.failed if refit else result.outcome
        if training.kept and isinstance(outcome, Failed) and outcome.reason is FailureReason.DIVERGED:
            training.kept.snapshots.drop(training.kept.key)
        return TrainingEnd(result.cost, outcome)

    def validation(self) -> Predictions:
        """Return the predictions for the validation rows."""
        with self._memory_errors():
            settings, tokenizer = self._plan.settings, self._trained.tokenizer
            prompt = self._base_models.prompt(settings, self._data.splits.labels)
            return self._trained.predict(self._data.validation(tokenizer, settings.max_length, prompt))

    def test(self, rows: Rows) -> tuple[Predictions, Measured]:
        """Return the predictions for the test rows, and the scores of the base alone on validation
        and test (see `sweep.engine.untrained`).

        The tokens of the test rows are kept in a temporary folder until the model is closed.
        """
        with self._memory_errors():
            settings, labels = self._plan.settings, self._data.splits.labels
            tokens = tokenise(
                rows, self._trained.tokenizer, labels=labels, max_length=settings.max_length,
                cache=Path(self._open.enter_context(self._base_models.temporary_folder())),
                prompt=self._base_models.prompt(settings, labels),
            )  # fmt: skip
            predictions = self._trained.predict(tokens)
            return predictions, before(settings, base_models=self._base_models, data=self._data, test=tokens)

    def parameters(self) -> Parameters:
        """Return the number of weights."""
        return count(self._trained.model)

    def save(self, folder: Path, saving: Saving) -> None:
        """Write the model to a folder."""
        with self._memory_errors():
            artifact.save(
                self._trained.model, self._trained.tokenizer, folder, config=saving.config,
                labels=self._data.splits.labels, metrics=saving.metrics, thresholds=saving.thresholds,
                refit=saving.refit, temperature=saving.temperature,
            )  # fmt: skip
        self._saved = True

    def send(self, saving: Saving, receiver: Receiver) -> None:
        """Send the files of the model in parts: it may be larger than what one message takes."""
        with self._base_models.temporary_folder() as folder:
            self.save(Path(folder), saving)
            for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
                with path.open("rb") as file:
                    while data := file.read(_PART):
                        receiver.part(str(path.relative_to(folder)), data)

    def close(self) -> None:
        """Free the memory of the model, and delete its snapshot where it was saved."""
        if self._saved and self._training is not None and (kept := self._training.kept) is not None:
            kept.snapshots.drop(kept.key)
        self._open.close()
        self._result = None
        memory.release(self._base_models.device)

    def _step(self, step: Step, listener: Listener) -> Verdict:
        if getattr(listener, "leaving", False):  # this worker was told to end: a snapshot is taken
            return Verdict.INTERRUPT
        if not step.metrics and time.monotonic() - self._asked < self._pause:
            return Verdict.CONTINUE
        self._asked = time.monotonic()
        return listener.step(step)

    @property
    def _plan(self) -> TrialPlan:
        assert self._training is not None, "the model is trained first"
        return self._training.plan

    @property
    def _trained(self) -> Trained:
        assert self._result is not None, "the model is trained first"
        return self._result

    @contextmanager
    def _memory_errors(self) -> Iterator[None]:
        assert self._training is not None, "the model is trained first"
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not memory.out_of_memory(error):
                raise
            which = f"trial {self._plan.number} could not be {self._training.done}"
            raise UserError.of(
                "", f"{which}: out of memory ({first_line(error)}). All trials are kept. {ADVICE}."
            ) from None


def _with_kept_snapshot(training: Training, listener: Listener) -> tuple[Training, Callable[[Snapshot], None]]:
    """Return the training with its newest snapshot, of which one may be kept here, and what takes
    its further ones. The retraining before a refit is recorded, and its snapshot is deleted."""
    if training.kept is None:
        return training, listener.snapshot
    kept, key = training.kept.snapshots, training.kept.key
    if training.refit:
        for other in kept.keys():  # noqa: SIM118  # no mapping
            if other.startswith(RETRAIN):
                kept.drop(other)

    def keep(snapshot: Snapshot) -> None:
        kept.write(key, snapshot)

    plan = training.plan
    return replace(training, plan=replace(plan, snapshot=newest(plan.snapshot, kept, key))), keep
