"""One step of a pack: a batch of every trial, the evaluations that are due, and the ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sweep.engine.optimizer_steps import StepTaken
from sweep.engine.packed.out_of_memory import OutOfMemoryRecovery
from sweep.engine.packed.pack import Pack
from sweep.engine.packed.passes import score_pass, train_pass
from sweep.engine.packed.slot import Slot
from sweep.engine.packed.trial_queue import TrialQueue


@dataclass(slots=True)
class PackStep:
    pack: Pack
    queue: TrialQueue
    recovery: OutOfMemoryRecovery

    def run(self) -> None:
        """Train a batch of every trial, evaluate the trials that are due, and end those that have
        finished."""
        slots = self.pack.slots
        due = sorted(self._train(slots), key=slots.index)
        if due:
            self._wait_for_device()
        self._evaluate(due)
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
        with budget.measured(slots):
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
        while slots:
            same = [slot for slot in slots if slot.validation is slots[0].validation]
            self._score(same)
            slots = [slot for slot in slots if slot not in same]

    def _score(self, slots: Sequence[Slot]) -> None:
        started = time.perf_counter()
        budget = self.pack.budget
        scoring = partial(score_pass, tokens=budget.eval_tokens)
        passes = self.pack.shards.run(scoring, self.pack.running, budget.parts(slots, [1] * len(slots)))
        seconds = (time.perf_counter() - started) / len(slots)
        for part, done in passes:
            if isinstance(done, BaseException):
                self.recovery.retry_evaluation(part, done, self._score)
                continue
            for slot, found in zip(part, done, strict=True):
                slot.clock.charge(evaluating=seconds)
                slot.on_scores(found, started=started)
