"""Makes slots: loads a trial's model, starts its state and its optimizer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sweep.config.settings import TrainSettings
from sweep.data.collate import collator
from sweep.data.tokenise import TokenisedData, name_of
from sweep.engine.arguments import autocast, training_arguments
from sweep.engine.best_weights import Best
from sweep.engine.clock import SharedClock, place_of
from sweep.engine.first_weights import set_first_weights
from sweep.engine.limit_watch import LimitWatch
from sweep.engine.optimizer_steps import OptimizerSteps
from sweep.engine.packed.batch import Row
from sweep.engine.packed.packed_model import TrialAdapters
from sweep.engine.packed.slot import Slot
from sweep.engine.packed.table import Table
from sweep.engine.protocol import OnTrialEval, OnTrialSnapshot, OnTrialStep, StudyCallbacks, no_snapshot
from sweep.engine.snapshot import opened, suited
from sweep.engine.snapshot_timer import SnapshotTimer
from sweep.engine.training_loss import TrainingLoss
from sweep.engine.trial_state import Stopped, TrialState
from sweep.engine.trial_steps import TrialSteps
from sweep.model.base_model_cache import BaseModelCache
from sweep.model.features import NotPackable
from sweep.model.state import trainable_weights, trained_parameters
from sweep.records.trial import TrialPlan

_SAMPLE = 8  # rows, at most, by which a pack is compared with the model's own forward pass


@dataclass(slots=True)
class SlotFactory:
    """Makes slots. Tables are kept for as long as trials use the same rows. `folder` is an empty
    one for the optimizers' needs."""

    base_models: BaseModelCache
    data: TokenisedData
    best_dir: Callable[[TrialPlan], Path | None]
    folder: Path
    on_step: OnTrialStep
    on_eval: OnTrialEval
    on_snapshot: OnTrialSnapshot = no_snapshot
    tables: dict[str, Table] = field(default_factory=dict)

    def open(self, plan: TrialPlan) -> Slot:
        """Return a slot for the trial, which goes on from its snapshot where there is one; the
        study may have stopped it already. Raises NotPackable where the trial cannot be packed, and
        what running out of memory raises."""
        with ExitStack() as resources:
            slot = self._open(plan, resources)
            slot.resources = resources.pop_all()
        return slot

    def _open(self, plan: TrialPlan, resources: ExitStack) -> Slot:
        settings, base_models, labels = plan.settings, self.base_models, self.data.splits.labels
        clock = SharedClock(place=place_of(plan, base_models.device))
        with clock.set_aside():
            tokenizer = base_models.tokenizer(settings.model)
            train, held_out = self._tables(plan, tokenizer)
            model = resources.enter_context(base_models.model(settings, labels))
            adapters = TrialAdapters(model)
            _check_all_trained(adapters)
            best = Best.of(model, tokenizer, plan.config, labels, self.best_dir(plan))
            watch, collate = LimitWatch(plan.watched, base_models.device, shares=True), collator(tokenizer, labels)
            state = TrialState(
                settings, clock, self._study(plan, watch),
                TrialSteps.of(len(train.rows), settings.trainer, evaluated_as=len(self.data.splits.train)),
                keeper=best, trained_parameters=trained_parameters(model), labels=labels.names,
                snapshots=SnapshotTimer(settings.snapshot_every),
            )  # fmt: skip
            resumed = suited(opened(plan, base_models.device, "packed"), plan, dict(trainable_weights(model)))
            with suppress(Stopped):
                cast = partial(autocast, settings.trainer, base_models.device)
                if watch.measure_latency(model, held_out.dataset, collate, cast):
                    state.check_stop()
                if resumed is None:
                    state.flops_ahead = set_first_weights(
                        model, settings, base_models=base_models, data=self.data.of_fold(plan.fold),
                        check_stop=state.check_stop,
                    )  # fmt: skip
            steps = self._optimizer_steps(settings, model, train, state.steps.schedule)
            state.on_train_begin()
            slot = Slot(
                plan, settings, adapters, train, held_out, steps, state, best, clock, resources,
                training_loss=TrainingLoss.of(settings, train.dataset, labels, base_models.device),
                sample=partial(_sample, train, held_out, model, collate, settings), watch=watch,
            )  # fmt: skip
            if resumed is not None:
                with torch.random.fork_rng([]):
                    slot.load_state_dict(resumed)
        return slot

    def _tables(self, plan: TrialPlan, tokenizer: Any) -> tuple[Table, Table]:
        """Return the train and the validation rows of a trial. Raises NotPackable for a text
        without tokens."""
        data, longest = self.data.of_fold(plan.fold), plan.settings.max_length
        train = self._table(data.train(tokenizer, longest, None))
        held_out = self._table(data.validation(tokenizer, longest, None))
        if min(*train.lengths, *held_out.lengths) < 1:
            raise NotPackable("a text has no token at all")
        return train, held_out

    def _study(self, plan: TrialPlan, watch: LimitWatch) -> StudyCallbacks:
        """Return the callbacks of one trial, which is measured for its limits."""
        return StudyCallbacks(
            watch.reporting(lambda step: self.on_step(plan, step)),
            watch.evaluated(lambda point: self.on_eval(plan, point)),
            lambda snapshot: self.on_snapshot(plan, snapshot),
        )

    def _optimizer_steps(self, settings: TrainSettings, model: nn.Module, train: Table, total: int) -> OptimizerSteps:
        arguments = training_arguments(settings, self.base_models.device, self.folder)
        with torch.random.fork_rng([]):
            return OptimizerSteps.begin(
                model, arguments, train.lengths, total, factors=settings.adapter.learning_rate_factors()
            )

    def _table(self, dataset: Any) -> Table:
        name = name_of(dataset)
        if name not in self.tables:
            self.tables[name] = Table.of(dataset, self.data.splits.labels.task, self.base_models.device)
        return self.tables[name]


def _check_all_trained(trial: TrialAdapters) -> None:
    """Raise NotPackable where the trial trains a weight that is neither in an adapter nor in the
    head."""
    known = {id(weight) for adapter in trial.adapters.values() for weight in adapter.weights}
    known |= {id(weight) for weight in trial.head.parameters()}
    left = [name for name, weight in trial.model.named_parameters() if weight.requires_grad and id(weight) not in known]
    if left:
        raise NotPackable(f"{left[0]} is trained inside the base")


def _sample(
    train: Table, held_out: Table, model: nn.Module, collate: Any, settings: TrainSettings
) -> tuple[list[Row], Tensor]:
    """Return rows of different lengths, the longest of both tables among them, and their logits by
    the model's own forward pass: no more rows than an evaluation has at once, but two, since one
    agrees with anything."""
    count = max(min(_SAMPLE, settings.trainer.per_device_eval_batch_size), 2)
    order = np.argsort(train.lengths, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))].tolist()
    batch, rows = train.dataset.__getitems__(chosen), [train.rows[row] for row in chosen]
    farthest = held_out.longest_first[0]
    if held_out.lengths[farthest] > train.lengths[chosen[-1]]:
        batch, rows = [*batch[:-1], *held_out.dataset.__getitems__([farthest])], [*rows[:-1], held_out.rows[farthest]]
    device = train.labels.device
    inputs = {name: value.to(device) for name, value in collate(batch).items() if name != "labels"}
    model.eval()
    with torch.no_grad(), autocast(settings.trainer, device):
        logits: Tensor = model(**inputs).logits
    return rows, logits
