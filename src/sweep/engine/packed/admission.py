"""Admission to the pack: which trial enters now, is deferred, or is trained alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sweep.config.settings import TrainSettings
from sweep.engine import memory
from sweep.engine.before_start import failed_before_start, stopped_before_start
from sweep.engine.packed.loop_choice import Loop, LoopChoice, choose_loop
from sweep.engine.packed.pack import Pack, PackKey
from sweep.engine.packed.slot import Slot
from sweep.engine.packed.trial_queue import TrialQueue
from sweep.engine.protocol import OnTrialStep
from sweep.engine.warning import warn_once
from sweep.errors import first_line
from sweep.model.account import unwrapped
from sweep.model.features import NotPackable
from sweep.records.trial import FailureReason, TrialPlan

# Errors that a model's code may raise for packed inputs.
_MODEL_ERRORS = (AttributeError, TypeError, ValueError, LookupError, AssertionError, RuntimeError)


@dataclass(slots=True)
class Admission:
    """Fills the free slots of a pack.

    A trial on another base, or one for the Trainer, is deferred until the pack is empty; a head on
    the pack's own base, which takes little time and memory, is trained at once. A deferred trial
    keeps its slot, and no more trials than there are slots may be admitted before it. One that
    memory is predicted not to hold beside the others (`TrialPlan.memory`) waits too, until they
    leave it room.

    `open_slot` loads a trial's model, `key_of` gives the pack that it belongs to, and
    `train_alone` trains it from its plan to its end. A warning gives the reason for the Trainer;
    with `announce` also where the settings tell it beforehand.
    """

    pack: Pack
    queue: TrialQueue
    on_step: OnTrialStep
    open_slot: Callable[[TrialPlan], Slot]
    key_of: Callable[[TrainSettings], PackKey]
    train_alone: Callable[[TrialPlan], None]
    announce: bool = False
    deferred: list[TrialPlan] = field(default_factory=list)
    crowded: list[TrialPlan] = field(default_factory=list)  # of the deferred, those that wait for memory
    overtaken: int = 0  # trials admitted since the first one was deferred
    alone: dict[tuple[tuple[int, int], int], str] = field(default_factory=dict)  # not packable, by trial and fold

    def fill(self) -> None:
        """Admit trials as long as there is a free slot and a further trial."""
        if not self.pack.slots:
            self.admit_deferred()
        self._admit_crowded()
        while self._has_free_slot() and (trial := self.queue.pull()) is not None:
            self.admit(trial)

    def admit_deferred(self) -> None:
        """Admit the deferred trials again, in their order; trials on another base are deferred
        again."""
        deferred, self.deferred, self.crowded, self.overtaken = self.deferred, [], [], 0
        for trial in deferred:
            self.admit(trial, waited=True)

    def admit(self, trial: TrialPlan, *, waited: bool = False) -> None:
        """Admit a trial to the pack, defer it, or train it alone, unless the study has stopped it
        meanwhile: it may have `waited`, or the trial alone before it took long."""
        settings = trial.settings
        choice, key = self._choice(trial), self.key_of(settings)
        if self.pack.slots and not self._suits_present_pack(choice.loop, key):
            self.deferred.append(trial)
            return
        if choice.loop is Loop.PACKED and not self._has_memory(trial):
            self.deferred.append(trial)
            self.crowded.append(trial)
            return
        if (waited or choice.loop is not Loop.PACKED) and self._stopped(trial):
            return
        if self.pack.key is not None and (choice.loop is Loop.TRAINER or key.base != self.pack.key.base):
            self.pack.release_model()
        if choice.loop is Loop.PACKED:
            self._admit_to_pack(trial, key)
        else:
            self._train_alone(trial, choice)

    def _admit_crowded(self) -> None:
        """Admit the trials that waited for memory, in their order, as far as there is room."""
        while self.crowded and self._has_memory(self.crowded[0]):
            trial = self.crowded.pop(0)
            self.deferred.remove(trial)
            self.overtaken = self.overtaken if self.deferred else 0
            self.admit(trial, waited=True)

    def _has_memory(self, trial: TrialPlan) -> bool:
        """Return whether memory is predicted to hold the trial beside those of the pack; a trial
        that is alone has all of it."""
        present = [slot.plan.memory for slot in self.pack.slots]
        return not present or sum(present) + trial.memory <= 1

    def _has_free_slot(self) -> bool:
        slots = self.pack.budget.slots
        return len(self.pack.slots) + len(self.deferred) < slots and self.overtaken < slots

    def _suits_present_pack(self, loop: Loop, key: PackKey) -> bool:
        present = self.pack.key
        assert present is not None, "a pack with trials has a key"
        match loop:
            case Loop.PACKED:
                return key == present
            case Loop.CACHED_HEAD:
                return key.base == present.base
            case Loop.TRAINER:
                return False

    def _admit_to_pack(self, trial: TrialPlan, key: PackKey) -> None:
        try:
            slot = self.open_slot(trial)
        except NotPackable as error:
            self._not_packable(trial, error)
            return
        except (RuntimeError, MemoryError) as error:
            self._out_of_memory(trial, error)
            return
        if slot.finished:  # stopped while its head was initialised, or where its patience ran out
            self.queue.close(slot)
            return
        try:
            self.pack.admit(slot, key)
        except (NotPackable, MemoryError, *_MODEL_ERRORS) as error:
            slot.close()
            if memory.out_of_memory(error):
                self._out_of_memory(trial, error)
            else:
                self._not_packable(trial, _as_not_packable(slot, error))
            return
        self.overtaken += len(self.deferred) > 0

    def _not_packable(self, trial: TrialPlan, error: NotPackable) -> None:
        if self.pack.slots:
            self.deferred.append(trial)
            return
        self.pack.release_model()
        self.alone[trial.key, trial.fold] = str(error)
        self._train_alone(trial, LoopChoice(Loop.TRAINER, str(error)), unforeseen=True)

    def _out_of_memory(self, trial: TrialPlan, error: BaseException) -> None:
        """Defer a trial that does not fit beside the others, and admit no further one; fail it
        where it is the only one."""
        if not memory.out_of_memory(error):
            raise error
        memory.release(self.pack.device)
        if self.pack.slots:
            self.deferred.append(trial)
            self.overtaken = self.pack.budget.slots
            return
        message = f"while loading the model: {first_line(error)}"
        self.queue.end(trial, failed_before_start(trial, FailureReason.OUT_OF_MEMORY, message, self.pack.device))

    def _train_alone(self, trial: TrialPlan, choice: LoopChoice, *, unforeseen: bool = False) -> None:
        """Train a trial outside the pack."""
        if unforeseen or choice.reason and self.announce:
            warn_once(f"{choice.reason}: the Trainer trains it, one trial at a time")
        self.train_alone(trial)

    def _choice(self, trial: TrialPlan) -> LoopChoice:
        """Return the loop of a trial. One that turned out not to be packable, made way and goes on
        was trained by the Trainer."""
        reason = self.alone.get((trial.key, trial.fold))
        return choose_loop(trial.settings) if reason is None else LoopChoice(Loop.TRAINER, reason)

    def _stopped(self, trial: TrialPlan) -> bool:
        """Return whether the study has ended a trial that is not loaded yet."""
        stopped = stopped_before_start(trial, self.on_step, self.pack.device)
        if stopped is not None:
            self.queue.end(trial, stopped)
        return stopped is not None


def _as_not_packable(slot: Slot, error: BaseException) -> NotPackable:
    if isinstance(error, NotPackable):
        return error
    model = type(unwrapped(slot.adapters.model)).__name__
    return NotPackable(f"{model} does not take packed rows: {type(error).__name__}: {first_line(error)}")
