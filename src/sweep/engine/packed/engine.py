"""The engine that trains many trials at once on one frozen base.

Each forward and backward pass carries a batch of every trial, laid end to end without padding (as in token packing, Krell
et al. 2021, arXiv 2107.02027); the base's matrix products are shared, adapters are applied trial by trial, and all that
follows the gradients is each trial's own. Packing adapters of a search is the idea of PLoRA (Yan et al. 2025, arXiv
2508.02932), and of HFTA (Wang et al. 2021, arXiv 2102.02344) before it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from sweep.config.optimizers import needs_trainer
from sweep.config.schema import Config
from sweep.data.tokenise import TokenisedData
from sweep.engine import cached_head, memory
from sweep.engine.arguments import autocast
from sweep.engine.packed.cpu_shards import CpuShards
from sweep.engine.packed.graphs import graphs_for
from sweep.engine.packed.memory_budget import MemoryBudget
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.passes import learn, scores
from sweep.engine.packed.slot import Slot, SlotFactory
from sweep.engine.protocol import NextTrial, OnTrialEnd, OnTrialEval, OnTrialStep
from sweep.engine.trainer import OneByOne
from sweep.engine.trial_state import Course
from sweep.engine.updates import Stepped
from sweep.errors import first_line
from sweep.model.account import unwrapped
from sweep.model.base import BaseSpec
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import NotPackable
from sweep.records.trial import Cost, Failed, FailureReason, Outcome, Step, TrialPlan

logger = logging.getLogger(__name__)

# What the code of a model may raise, given what it was not written for.
_OF_MODELS = (AttributeError, TypeError, ValueError, LookupError, AssertionError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the trials of one pack share: the base, the precision of its products, and what is kept for the way back."""

    base: BaseSpec
    bf16: bool
    checkpointing: bool


@dataclass(frozen=True, slots=True)
class Packed:
    """An `Engine` with many slots. A trial that a pack cannot carry is trained by `OneByOne` when the pack has come to its
    end, and has all memory and time to itself; a head on a frozen base, which takes little of both, at once. A line
    says why, with `announce` also where the config tells. `most` bounds `slots` where that is auto."""

    base_models: BaseModelCache
    data: TokenisedData
    best_dir: Callable[[TrialPlan], Path | None]
    slots: int | Literal["auto"] = "auto"
    most: int | None = None
    announce: bool = False

    def run(self, next_trial: NextTrial, on_step: OnTrialStep, on_eval: OnTrialEval, on_end: OnTrialEnd) -> None:
        with self.base_models.temporary_folder() as folder:
            seating = SlotFactory(self.base_models, self.data, self.best_dir, Path(folder))
            with CpuShards.open(self.base_models.device) as lanes:
                room = MemoryBudget(self.base_models.device, self.slots, lanes.count, self.most)
                trip = _Trip(self, seating, next_trial, on_step, on_eval, on_end, room, lanes)
                try:
                    trip.run()
                finally:
                    for seat in trip.seats:
                        seat.leave()


@dataclass(slots=True)
class _Trip:
    engine: Packed
    seating: SlotFactory
    next_trial: NextTrial
    on_step: OnTrialStep
    on_eval: OnTrialEval
    on_end: OnTrialEnd
    room: MemoryBudget
    lanes: CpuShards
    seats: list[Slot] = field(default_factory=list)
    carriers: list[PackedModel] = field(default_factory=list)  # one a lane
    kind: Kind | None = None
    waiting: list[TrialPlan] = field(default_factory=list)  # for the pack's end; each takes up a slot
    overtaken: int = 0  # how often, by a trial that took a seat
    asked_dry: bool = False  # no further trial, as long as none ends

    def run(self) -> None:
        while True:
            self._fill()
            if self.seats:
                self._tick()
            elif not self.waiting:
                return

    def _fill(self) -> None:
        if not self.seats:
            self._call_up()
        while len(self.seats) + len(self.waiting) < self.room.slots and self.overtaken < self.room.slots:
            trial = self._ask()
            if trial is None:
                return
            self._place(trial)

    def _call_up(self) -> None:
        """Those that waited, in their order; some wait again, for the pack that others make."""
        waited, self.waiting, self.overtaken = self.waiting, [], 0
        for trial in waited:
            self._place(trial)

    def _ask(self) -> TrialPlan | None:
        if self.asked_dry:
            return None
        trial = self.next_trial()
        self.asked_dry = trial is None
        return trial

    def _place(self, trial: TrialPlan) -> None:
        reason, kind = unpackable(trial.config), self._kind(trial.config)
        if self.seats and not self._fits(kind, reason):
            self.waiting.append(trial)
            return
        if self.kind is not None and (reason or kind.base != self.kind.base):  # two bases may not fit
            self._disband()
        if reason is None:
            self._board(trial, kind)
        else:
            self._alone(trial, reason)

    def _fits(self, kind: Kind, reason: str | None) -> bool:
        """Beside the pack, which a head on its frozen base does not keep waiting for long."""
        assert self.kind is not None, "a pack has a base"
        return kind == self.kind if reason is None else not reason and kind.base == self.kind.base

    def _disband(self) -> None:
        if self.kind is not None:
            self.carriers, self.kind = [], None
            memory.release(self.engine.base_models.device)

    def _kind(self, config: Config) -> Kind:
        base = self.engine.base_models.spec(config, self.engine.data.splits.labels)
        return Kind(base, config.trainer.in_bf16, config.trainer.gradient_checkpointing)

    def _board(self, trial: TrialPlan, kind: Kind) -> None:
        try:
            seat = self.seating.take(trial, self.on_step, self.on_eval)
        except NotPackable as error:
            self._unsuited(trial, error)
            return
        except (RuntimeError, MemoryError) as error:
            self._no_room(trial, error)
            return
        if seat.ended:  # the study halted it while its head was made ready
            self._leave(seat)
            return
        try:
            self._make_carriers(trial.config, kind)
            judges = [carrier for carrier in self.carriers if carrier.judges(seat.longest)]
            rows, logits = seat.sample() if judges else ([], None)
            with autocast(trial.config.trainer, self.engine.base_models.device):
                for carrier in self.carriers:
                    carrier.board(seat.passenger, rows, logits if carrier in judges else None)
        except (NotPackable, MemoryError, *_OF_MODELS) as error:
            seat.leave()
            if memory.out_of_memory(error):
                self._no_room(trial, error)
            else:
                model = type(unwrapped(seat.passenger.model)).__name__
                why = f"{model} does not take a line of rows: {type(error).__name__}: {first_line(error)}"
                self._unsuited(trial, error if isinstance(error, NotPackable) else NotPackable(why))
            return
        self.seats.append(seat)
        self.overtaken += len(self.waiting) > 0

    def _make_carriers(self, config: Config, kind: Kind) -> None:
        if self.kind == kind:
            return
        self._disband()
        labels, base_models = self.engine.data.splits.labels, self.engine.base_models
        self.carriers = [
            PackedModel(base_models.frozen(config, labels), graphs_for(base_models.device, bf16=kind.bf16))
            for _ in range(self.lanes.count)
        ]
        self.kind = kind
        for carrier in self.carriers:
            if kind.checkpointing:
                carrier.checkpointing()

    def _alone(self, trial: TrialPlan, reason: str, *, found_out: bool = False) -> None:
        """What was `found_out` no config tells beforehand, so that it is said whatever engine was asked for."""
        if self._called_off(trial):
            return
        if found_out or reason and self.engine.announce:
            _say(f"{reason}: the Trainer trains it, one trial at a time")
        one = iter([trial])
        alone = OneByOne(self.engine.base_models, self.engine.data, self.engine.best_dir)
        alone.run(lambda: next(one, None), self.on_step, self.on_eval, self._ended)

    def _unsuited(self, trial: TrialPlan, error: NotPackable) -> None:
        if self.seats:
            self.waiting.append(trial)
            return
        self._disband()
        self._alone(trial, str(error), found_out=True)

    def _called_off(self, trial: TrialPlan) -> bool:
        """Whether the study wants it no more: it may have waited for long."""
        course = Course(trial.config)
        course.obey(self.on_step(trial, Step(0, trial.total_steps, 0.0)), 0)
        if course.ended:
            self._ended(trial, course.outcome(Cost()))
        return course.ended

    def _no_room(self, trial: TrialPlan, error: BaseException) -> None:
        """A further trial does not fit: it waits until the others have left, or fails where it is the only one."""
        if not memory.out_of_memory(error):
            raise error
        memory.release(self.engine.base_models.device)
        if self.seats:
            self.waiting.append(trial)
            self.overtaken = self.room.slots  # nor does any other
            return
        message = f"while loading the model: {first_line(error)}"
        self._ended(trial, Failed(FailureReason.OUT_OF_MEMORY, message, evals=(), cost=Cost(engine="packed")))

    def _ended(self, trial: TrialPlan, outcome: Outcome) -> None:
        self.asked_dry = False
        self.on_end(trial, outcome)

    def _tick(self) -> None:
        """A batch of every trial; the evaluations that are due; the ends."""
        due = sorted(self._train(self.seats), key=self.seats.index)
        if due:
            self._settle()
        self._evaluate([seat for seat in due if not seat.reporting.course.ended])
        for seat in [seat for seat in self.seats if seat.ended]:
            self.seats.remove(seat)
            self._leave(seat)

    def _leave(self, seat: Slot) -> None:
        outcome = seat.outcome()
        seat.leave()
        self._ended(seat.plan, outcome)

    def _train(self, seats: Sequence[Slot]) -> list[Slot]:
        """Gives those whose evaluation is due. Those that memory does not hold together go again in smaller parts."""
        for seat in seats:
            seat.next_batch()
        started, tokens = time.perf_counter(), [seat.batch_tokens for seat in seats]
        with self.room.measured(seats):
            passes = self.lanes.run(learn, self._open, self.room.parts(seats, tokens))
        second = (time.perf_counter() - started) / sum(tokens)
        due: list[Slot] = []
        for part, done in passes:
            if isinstance(done, BaseException):
                due += self._again(part, done)
                continue
            for seat, (loss, stepped) in zip(part, done, strict=True):
                seat.clock.charge(training=second * seat.batch_tokens)
                with seat.clock.on_training():
                    evaluates = self._took(seat, loss, stepped)
                due += [seat] if evaluates else []
        return due

    def _settle(self) -> None:
        """What a GPU still has to do is training, not the evaluation that waits for it."""
        if self.engine.base_models.device.type != "cuda":
            return
        started = time.perf_counter()
        torch.cuda.synchronize(self.engine.base_models.device)
        share = (time.perf_counter() - started) / len(self.seats)
        for seat in self.seats:
            seat.clock.charge(training=share)

    def _took(self, seat: Slot, loss: Tensor, stepped: Stepped | BaseException | None) -> bool:
        """True where an evaluation is due. An optimizer that finds no memory for its state has changed the weights by half:
        its trial cannot go on."""
        if isinstance(stepped, BaseException):
            self._reclaim(stepped)
            seat.fail(FailureReason.OUT_OF_MEMORY, first_line(stepped))
            return False
        return seat.took(loss, stepped)

    @property
    def _open(self) -> Sequence[PackedModel]:
        """Of the lanes that memory holds at the same time."""
        return self.carriers[: self.room.lanes]

    def _again(self, seats: Sequence[Slot], error: BaseException) -> list[Slot]:
        self._reclaim(error)
        if len(seats) == 1 and self.room.lanes == 1:
            seats[0].fail(FailureReason.OUT_OF_MEMORY, first_line(error))
            return []
        self.room.shrink(len(seats) // 2)
        return self._train(seats)

    def _evaluate(self, seats: Sequence[Slot]) -> None:
        """Those that read the same rows together."""
        while seats:
            same = [seat for seat in seats if seat.validation is seats[0].validation]
            self._score(same)
            seats = [seat for seat in seats if seat not in same]

    def _score(self, seats: Sequence[Slot]) -> None:
        started = time.perf_counter()
        scoring = partial(scores, tokens=self.room.eval_tokens)
        passes = self.lanes.run(scoring, self._open, self.room.parts(seats, [1] * len(seats)))
        share = (time.perf_counter() - started) / len(seats)
        for part, done in passes:
            if isinstance(done, BaseException):
                self._score_again(part, done)
                continue
            for seat, found in zip(part, done, strict=True):
                seat.clock.charge(evaluating=share)
                seat.evaluated(found, started=started)

    def _score_again(self, seats: Sequence[Slot], error: BaseException) -> None:
        self._reclaim(error)
        if self.room.shrink_evaluation(max(seats[0].validation.lengths)):
            self._score(seats)
        elif len(seats) > 1:
            for seat in seats:
                self._score([seat])
        else:
            seats[0].fail(FailureReason.OUT_OF_MEMORY, first_line(error))

    def _reclaim(self, error: BaseException) -> None:
        """What a pass held when memory ran out; raises any other error."""
        if not memory.out_of_memory(error):
            raise error
        for carrier in self.carriers:
            carrier.release()
        memory.release(self.engine.base_models.device)


def unpackable(config: Config) -> str | None:
    """Why a pack cannot carry a trial, as far as its config tells; empty where another loop is the faster one."""
    if cached_head.suits(config):
        return ""
    if reason := needs_trainer(config.optimizer):
        return reason
    adapter = config.adapter
    if adapter.trains == "everything":
        return f"adapter.method {adapter.method} trains the base itself"
    if adapter.trains == "head":
        return f"adapter.method {adapter.method} trains no adapter"
    if adapter.packed_kernel is None:
        return f"adapter.method {adapter.method} has no packed kernel"
    if config.prompt is not None:
        return "label words (prompt) are scored by the language model's own output layer"
    if config.trainer.fp16:
        return "trainer.fp16 scales the gradients of a whole pass"
    return None


@cache
def _say(message: str) -> None:
    logger.warning(message)
