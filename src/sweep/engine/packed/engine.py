"""The engine that trains many trials at once on one frozen base.

Each forward and backward pass holds a batch of every trial, laid end to end without padding (as in
token packing, Krell et al. 2021, arXiv 2107.02027). The base's matrix products are shared,
adapters are applied trial by trial, and everything after the gradients belongs to each trial
alone. PLoRA (Yan et al. 2025, arXiv 2508.02932) packs adapters of a search, and HFTA (Wang et al.
2021, arXiv 2102.02344) did so before with whole models. `README.md` beside this module has the
shapes and a diagram.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweep.config.settings import TrainSettings
from sweep.data.tokenise import TokenisedData
from sweep.engine.packed.admission import Admission
from sweep.engine.packed.cpu_shards import CpuShards
from sweep.engine.packed.graphs import graphs_for
from sweep.engine.packed.memory_budget import MemoryBudget
from sweep.engine.packed.out_of_memory import OutOfMemoryRecovery
from sweep.engine.packed.pack import Pack, PackKey
from sweep.engine.packed.pack_step import PackStep
from sweep.engine.packed.packed_model import PackedModel
from sweep.engine.packed.slot_factory import SlotFactory
from sweep.engine.packed.trial_queue import TrialQueue
from sweep.engine.protocol import NextTrial, OnTrialEnd, OnTrialEval, OnTrialSnapshot, OnTrialStep, no_snapshot
from sweep.engine.trainer import OneByOne
from sweep.model.base_model_cache import BaseModelCache
from sweep.records.trial import TrialPlan


@dataclass(frozen=True, slots=True)
class Packed:
    """An `Engine` with many slots.

    A trial that cannot be packed is trained by `OneByOne` when the pack is empty, and has all
    memory and time to itself; a head on a frozen base, which takes little of both, at once.
    `together` trainings belong to one trial. A warning says why a trial is left to the Trainer;
    with `announce` also where its config tells it beforehand.
    """

    base_models: BaseModelCache
    data: TokenisedData
    best_dir: Callable[[TrialPlan], Path | None]
    slots: int | Literal["auto"] = "auto"
    announce: bool = False
    together: int = 1

    def run(
        self,
        next_trial: NextTrial,
        on_step: OnTrialStep,
        on_eval: OnTrialEval,
        on_end: OnTrialEnd,
        on_snapshot: OnTrialSnapshot = no_snapshot,
    ) -> None:
        device, queue = self.base_models.device, TrialQueue(next_trial, on_end)
        alone = OneByOne(self.base_models, self.data, self.best_dir)

        def train_alone(trial: TrialPlan) -> None:
            one = iter([trial])
            alone.run(lambda: next(one, None), on_step, on_eval, queue.end, on_snapshot)

        with self.base_models.temporary_folder() as folder, CpuShards.open(device) as shards:
            factory = SlotFactory(
                self.base_models, self.data, self.best_dir, Path(folder), on_step, on_eval, on_snapshot
            )
            budget = MemoryBudget(device, self.slots, shards.count, self.together)
            pack = Pack(device, budget, shards, self._make_model)
            admission = Admission(pack, queue, on_step, factory.open, self._key_of, train_alone, self.announce)
            step = PackStep(pack, queue, OutOfMemoryRecovery(budget, pack.reclaim))
            try:
                self._run(pack, admission, step)
            finally:
                for slot in pack.slots:
                    slot.close()

    @staticmethod
    def _run(pack: Pack, admission: Admission, step: PackStep) -> None:
        while True:
            admission.fill()
            if pack.slots:
                step.run()
            elif not admission.deferred:
                return

    def _key_of(self, settings: TrainSettings) -> PackKey:
        base = self.base_models.spec(settings, self.data.splits.labels)
        return PackKey(base, settings.trainer.in_bf16, settings.trainer.gradient_checkpointing)

    def _make_model(self, settings: TrainSettings, key: PackKey) -> PackedModel:
        base = self.base_models.frozen(settings, self.data.splits.labels)
        return PackedModel(base, graphs_for(self.base_models.device, bf16=key.bf16))
