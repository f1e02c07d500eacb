"""The memory of trainings, measured by small ones where trials are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sweep.config.objective import LOSS
from sweep.config.schema import Config
from sweep.config.settings import TrainSettings
from sweep.data.splits import Rows, Splits
from sweep.data.tokenise import TokenisedData
from sweep.engine import memory
from sweep.engine.host_memory import host_limit
from sweep.errors import UserError
from sweep.launch.workspace import Workspace
from sweep.plan.memory_needs import built_by, kind
from sweep.records.final import Parameters
from sweep.records.memory import Footprint, MemoryFacts
from sweep.records.trial import Completed, Outcome, TrialPlan, Verdict
from sweep.study.memory_forecast import GAPS

_Run = tuple[memory.PeakMemory, str] | None  # what a small training took, and its engine

_STEPS = 2  # the second one has the optimizer's state beside activations
# Rows of the batches by which a row is measured: fewer where more take long. A pack trains on two
# rows when it admits a trial, which hides a batch of one.
_ROWS, _FEWER_ROWS = (3, 8), (2, 4)
_EVALUATED = 6  # rows of an evaluation, at least; more are evaluated where that is quick
_AT_ONCE = 2  # trainings, at least, of a pack whose slots are auto
_QUICK = 1e12  # floating-point operations
_TELLING = 2**25  # a difference of fewer bytes of tensors says nothing about gaps
_MOST_GAPS = 4.0


def look(workspace: Workspace, workers: int = 1) -> MemoryFacts:
    """Return what there is on the device of the trials, before a base is loaded. So many workers
    share the memory of the host; each has a GPU of its own."""
    device = workspace.base_models.device
    held = memory.in_use(device)
    if device.type == "cuda":
        workers, limit, free, source = 1, memory.capacity(device), memory.free(device), "the GPU has"
    else:
        host = host_limit(workers=workers)
        limit, free, source = host.bytes, host.free, host.source
    engine, folds = workspace.config.engine, workspace.config.dataset.folds or 1
    at_once = max(_AT_ONCE, folds) if engine.slots == "auto" else engine.slots * folds
    if engine.name == "trainer":
        at_once = 1
    asked = engine.memory_limit
    if asked is not None and asked < limit:
        limit, source = int(asked), "engine.memory_limit allows"
    usable = min(limit, held + free)
    return MemoryFacts(memory.device_name(device), limit, usable, held, source, asked, at_once, workers)


def measure(workspace: Workspace, configs: Sequence[tuple[Config, Parameters]], workers: int = 1) -> MemoryFacts:
    """Return what there is on the device (`look`), and the footprint of each config by small
    trainings on it. A config whose small training fails has none."""
    facts, found = look(workspace, workers), list[Footprint]()
    for config, account in configs:
        footprint, resident = _footprint(workspace, config, account)
        found += [] if footprint is None else [footprint]
        facts = replace(facts, resident=max(facts.resident, resident))
    return replace(facts, footprints=tuple(found))


def _footprint(workspace: Workspace, config: Config, account: Parameters) -> tuple[Footprint | None, int]:
    """Return the footprint, and the bytes that are held without a training. An evaluation's memory
    shows only where it is more than that of a training batch of one row."""
    device = workspace.base_models.device
    try:
        row, tokens = _longest(workspace, config)
        with workspace.base_models.model(TrainSettings.of(config), workspace.splits.labels):
            pass  # the base is loaded, and kept
        resident = memory.in_use(device)
        quick = int(_QUICK / (2 * account.total * tokens))
        most = max(_EVALUATED, min(quick, config.trainer.per_device_eval_batch_size))
        few, more = _ROWS if quick >= _ROWS[1] else _FEWER_ROWS
        sizes = ((1, 1), (1, most), (few, few), (more, more))
        runs = [_small_training(workspace, config, row, *size) for size in sizes]
        if device.type == "cpu":
            runs[2:] = [
                _with_held(workspace, config, row, runs[2], few),
                _with_held(workspace, config, row, runs[3], more),
            ]
        memory.release(device)
    except (RuntimeError, MemoryError) as error:
        if not memory.out_of_memory(error):
            raise
        return None, 0
    if any(run is None for run in runs):
        return None, resident
    (one, engine), (evaluated, _), (smaller, _), (larger, _) = (run for run in runs if run is not None)
    of_row = max(larger.tensors - smaller.tensors, 0) / (more - few)
    of_evaluated = max(evaluated.tensors - one.tensors, 0) / (most - 1)
    found = Footprint(
        built_by(config), kind(config), tokens, account.trainable, fixed=max(larger.tensors - int(more * of_row), 0), row=of_row,
        eval_first=one.tensors if of_evaluated else 0, eval_row=of_evaluated, packed=engine == "packed",
        resident=resident, gaps=_gaps(smaller, larger),
    )  # fmt: skip
    return replace(found, process=_process(found, larger) if device.type == "cpu" else 0), resident


def _process(footprint: Footprint, larger: memory.PeakMemory) -> int:
    """Return the bytes that the process held in the larger training beside the base, the tensors
    and their gaps; 0 where the system does not tell."""
    if not larger.held:
        return 0
    own = larger.tensors + ((footprint.gaps or GAPS) - 1) * (larger.tensors - footprint.fixed)
    return max(larger.before + larger.held - footprint.resident - int(own), 0)


def _gaps(smaller: memory.PeakMemory, larger: memory.PeakMemory) -> float:
    """Return by how much more a process holds for each further byte of tensors; 0 where the
    difference is too small to tell."""
    tensors, held = larger.tensors - smaller.tensors, larger.held - smaller.held
    if not smaller.held or tensors < _TELLING:
        return 0.0
    return min(max(held / tensors, 1.0), _MOST_GAPS)


def _longest(workspace: Workspace, config: Config) -> tuple[int, int]:
    """Return the number of the longest training row, and its tokens."""
    settings, base_models = TrainSettings.of(config), workspace.base_models
    prompt = base_models.prompt(settings, workspace.splits.labels)
    rows = workspace.data.train(base_models.tokenizer(settings.model), settings.max_length, prompt)
    lengths = rows["length"][:]
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    return longest, lengths[longest]


def _with_held(workspace: Workspace, config: Config, row: int, run: _Run, rows: int) -> _Run:
    """Return a training with the bytes that the process holds in one like it whose tensors are not
    counted."""
    plain = run and _small_training(workspace, config, row, rows, rows, count=False)
    if run is None or plain is None:
        return None
    (counted, engine), (held, _) = run, plain
    return replace(held, tensors=counted.tensors), engine


def _small_training(
    workspace: Workspace, config: Config, row: int, rows: int, evaluated: int, *, count: bool = True
) -> _Run:
    """Train on copies of a row (`_repeated`). Return what it took, and the engine; None where the
    training failed."""
    ended: list[Outcome] = []
    trial = TrialPlan(0, {}, _short_config(config, rows, evaluated), _STEPS, "")
    trials = iter([trial])
    with workspace.base_models.temporary_folder() as folder:
        data = TokenisedData(_copies(workspace.splits, row, _STEPS * rows, evaluated), Path(folder))
        engine = workspace.engine(lambda _: None, data)
        with torch.random.fork_rng(), memory.allocations(workspace.base_models.device, count=count) as found:
            try:
                engine.run(
                    lambda: next(trials, None), lambda *_: Verdict.CONTINUE, lambda *_: Verdict.CONTINUE,
                    lambda _, outcome: ended.append(outcome),
                )  # fmt: skip
            except UserError:
                return None
    (outcome,) = ended
    return (found, outcome.cost.engine) if isinstance(outcome, Completed) else None


def _short_config(config: Config, rows: int, evaluated: int) -> Config:
    """Return the config of a training of `_STEPS` steps, with one evaluation at its end. It has no
    metrics of the user's own, which need not be defined on copies of one row."""
    trainer = config.trainer.model_copy(update={
        "num_train_epochs": 1, "effective_batch_size": None, "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": 1, "per_device_eval_batch_size": evaluated, "eval_strategy": "no",
        "eval_steps": None, "early_stopping_patience": None, "save_best": False, "save_newest": False,
    })  # fmt: skip
    optimizer = config.optimizer.model_copy(update={"warmup_steps": 0})
    adapter = config.adapter.model_copy(update={"head_init": "random"})
    dataset = config.dataset.model_copy(update={"metrics": ()})
    study = config.study.model_copy(update={"snapshots": "never", "metric": LOSS, "second_metric": None})
    return config.model_copy(update={
        "trainer": trainer, "optimizer": optimizer, "adapter": adapter, "dataset": dataset, "study": study
    })  # fmt: skip


def _copies(splits: Splits, row: int, rows: int, held_out: int) -> Splits:
    """Return a data set of copies of a row."""
    return replace(
        splits, train=_repeated(splits.train, row, rows), validation=_repeated(splits.train, row, held_out), test=None
    )


def _repeated(rows: Rows, row: int, times: int) -> Rows:
    """Return copies of a row, every second one with its words in reverse order: a pack is compared
    with the model's own logits, and equal rows would tell nothing."""
    text = rows.texts[row]
    texts = (text, " ".join(reversed(text.split())))
    pairs = None if rows.pairs is None else (rows.pairs[row],) * times
    return Rows(tuple(texts[number % 2] for number in range(times)), pairs, (rows.labels[row],) * times)
