"""One step of a pack: a batch of every trial, the evaluations that are due, and the ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sweep.engine.evaluation import UNHEARD
from sweep.engine.optimizer_steps import StepTaken
from sweep.engine.packed.out_of_memory import OutOfMemoryRecovery
from sweep.engine.packed.pack import Pack
from sweep.engine.packed.pack_memory import measured_apart
from sweep.engine.packed.passes import Evaluation, score_pass, train_pass
from sweep.engine.packed.slot import Slot
from sweep.engine.packed.trial_queue import TrialQueue


@dataclass(slots=True)
class PackStep:
    """One step of all trials of a pack."""

    pack: Pack
    queue: TrialQueue
    recovery: OutOfMemoryRecovery

    def run(self) -> None:
        """Train a batch of every trial, evaluate the trials that are due, take the snapshots that
        are due, and end the trials that have finished. A trial may have been interrupted before
        its evaluation: where it goes on, that comes first."""
        slots = self.pack.slots
        due = [slot for slot in slots if slot.evaluation_due]
        if not due:
            due = sorted(self._train(slots), key=slots.index)
            if due:
                self._wait_for_device()
            self._ask()
        self._evaluate(due)
        for slot in slots:
            slot.offer_snapshot()
        for slot in [slot for slot in slots if slot.finished]:
            slots.remove(slot)
            self.queue.close(slot)

    def _train(self, slots: Sequence[Slot]) -> list[Slot]:
        """Train a batch of each slot. Return the slots whose evaluation is due. Parts that memory
        does not hold go again in smaller parts."""
        for slot in slots:
            slot.next_batch()
        started, tokens = time.perf_counter(), [slot.batch_tokens for slot in slots]
        budget = self.pack.budget
        with budget.measured(slots), measured_apart(slots, self.pack.device):
            passes = self.pack.shards.run(train_pass, self.pack.running, budget.parts(slots, tokens))
        seconds_per_token = (time.perf_counter() - started) / sum(tokens)
        due: list[Slot] = []
        for part, done in passes:
            if isinstance(done, BaseException):
                due += self.recovery.retry_training(part, done, self._train)
                continue
            for slot, (loss, taken) in zip(part, done, strict=True):
                slot.clock.charge(training=seconds_per_token * slot.batch_tokens)
                with slot.clock.on_training():
                    evaluates = self._finish_batch(slot, loss, taken)
                due += [slot] if evaluates else []
        return due

    def _finish_batch(self, slot: Slot, loss: Tensor, taken: StepTaken | BaseException | None) -> bool:
        """Return True where an evaluation is due."""
        if isinstance(taken, BaseException):
            self.recovery.fail_step(slot, taken)
            return False
        return slot.finish_batch(loss, taken)

    def _wait_for_device(self) -> None:
        """Charge the work that a GPU still has to do to training, not to the evaluation that would
        wait for it."""
        if self.pack.device.type != "cuda":
            return
        started = time.perf_counter()
        torch.cuda.synchronize(self.pack.device)
        seconds = (time.perf_counter() - started) / len(self.pack.slots)
        for slot in self.pack.slots:
            slot.clock.charge(training=seconds)

    def _evaluate(self, slots: Sequence[Slot]) -> None:
        """Evaluate slots; those that read the same rows together."""
        while waiting := [slot for slot in slots if slot.evaluation_due]:
            self._score([slot for slot in waiting if slot.validation is waiting[0].validation])

    def _score(self, slots: Sequence[Slot]) -> None:
        """Evaluate slots that share their validation rows, and ask the study meanwhile: the
        evaluation of a trial that it ends is left out."""
        started, budget = time.perf_counter(), self.pack.budget
        parts = [Evaluation(part, budget.eval_tokens) for part in budget.parts(slots, [1] * len(slots))]
        while parts:
            passes = self._score_for_a_while(parts)
            for part, error in passes:
                if error is not None:
                    self.recovery.retry_evaluation(part.slots, error, self._score)
                elif not part.left:
                    part.report(started=started)
            parts = [part for part, error in passes if error is None and part.wanted]
            if parts:
                self._ask()

    def _score_for_a_while(self, parts: Sequence[Evaluation]) -> list[tuple[Evaluation, BaseException | None]]:
        started = time.perf_counter()
        passes = self.pack.shards.run(partial(score_pass, seconds=UNHEARD), self.pack.running, parts)
        slots = [slot for part in parts for slot in part.slots]
        for slot in slots:
            slot.clock.charge(evaluating=(time.perf_counter() - started) / len(slots))
        return passes

    def _ask(self) -> None:
        """Ask the study about trials in the middle of an optimizer step or of an evaluation, so
        that a stop is heard within seconds. Where it has interrupted a trial, ask about all others
        at once: a stop of the study finds all trials at the same batch."""
        slots = self.pack.slots
        for slot in slots:
            slot.ask(unheard=UNHEARD)
        if any(slot.state.interrupted for slot in slots):
            for slot in slots:
                slot.ask(unheard=0.0)
