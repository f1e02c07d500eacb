"""The checks that need torch: models and adapters on the meta device, without weights.

A dry run ends here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import OmegaConf

from sweep.config.composed import literal
from sweep.config.folders import token_cache
from sweep.config.limits import DEVICE_BYTES, HOST_BYTES
from sweep.config.measured import DEVICE_PEAK
from sweep.config.schema import Config, StudyConfig
from sweep.config.secrets import scrub, scrubbed
from sweep.config.settings import TrainSettings
from sweep.config.steps import evaluation_steps, total_steps
from sweep.data.labels import LabelSpace
from sweep.data.splits import Splits
from sweep.data.template import filled, label_words
from sweep.data.tokenise import TokenisedData
from sweep.engine.optimizers import optimizer_notes
from sweep.engine.packed.architectures import never_packed
from sweep.engine.packed.loop_choice import Loop, choose_loop
from sweep.errors import Fault, UserError
from sweep.launch.inline import Inline
from sweep.launch.launcher import Launcher
from sweep.launch.lost import of_host, on_host
from sweep.launch.workspace import Facts
from sweep.model.preflight import preflight
from sweep.model.rows import Looked
from sweep.model.rows import look as look_at
from sweep.model.source import idle
from sweep.plan.memory_needs import Needs, built_by
from sweep.plan.plan import Plan, tokenised_by
from sweep.plan.stop_notes import stop_line
from sweep.records.final import Parameters
from sweep.records.store import Store
from sweep.study.estimate import estimate_lines, expected
from sweep.study.machine import examine, look
from sweep.study.session import check_place, new_lock
from sweep.study.warm_start import preview
from sweep.track.mode import described


def prepare(plan: Plan, launcher: Launcher | None = None) -> Plan:
    """Check every model and adapter that the search can reach. Return the plan with the values
    that depend on the machine of the trials, which `launcher` asks; None asks this machine.

    Raises UserError with all faults, and SystemExit(0) once a dry run has printed its plan. A dry
    run prints what the machine cannot do instead of refusing it, since the run may be meant for
    another machine.
    """
    where = launcher or Inline.of(plan)
    there = where.ask(look)
    plan, notes = _settled(plan, there.facts)
    configs = _distinct(plan.corners)
    counted, faults = _counted(configs, plan.splits.labels, torch.device(there.facts.device))
    found = where.ask(examine, counted, plan.corners)
    machine = [*there.faults, *found.machine, *unmeasured(plan.config.study, there.facts.device)]
    host = "" if where.inline else there.facts.host
    notes += [on_host(note, host) for note in found.notes]
    faults += found.optimizers
    dry = plan.config.study.dry_run
    if faults or (machine and not dry):
        raise UserError([*faults, *of_host(machine, host)])
    looked = _look_at_rows(plan, configs)
    which = f"the worker on {host}" if host else "this machine"
    notes = [*(f"{which} cannot run it: {fault}" for fault in dict.fromkeys(machine)), *dict.fromkeys(notes)]
    notes += _notes(plan, looked, there.facts.device)
    if dry:
        check_place(plan, there.facts.device_name)
        warm = preview(plan, new_lock(plan, there.facts.device_name)) if plan.config.study.warm_start else []
        account = counted[-1][1] or Parameters(0, 0, 0)
        estimate = f"{which} cannot run it" if machine else where.ask(expected, plan.config, account)
        print(describe(plan, account, notes=notes, lines=[*warm, *estimate_lines(plan, estimate)]))
        raise SystemExit(0)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    needs = Needs(
        {built_by(config): account for config, account in counted if account is not None},
        {tokens: one.longest for tokens, one in looked.items()},
    )
    return replace(plan, lengths={tokens: one.mean_length for tokens, one in looked.items()}, needs=needs)


def _notes(plan: Plan, looked: Mapping[str, Looked], device: str) -> list[str]:
    """Return the notes of a plan and on its rows, models and optimizers."""
    return [
        *plan.notes,
        *plan.splits.warnings,
        *idle(plan.config.model, plan.origin.chosen),
        *_never_packed(plan),
        *_never_broken(plan.config, device),
        *dict.fromkeys(note for corner in plan.corners for note in optimizer_notes(corner.optimizer)),
        *dict.fromkeys(note for one in looked.values() for note in one.notes),
    ]


def _counted(
    configs: Sequence[Config], labels: LabelSpace, device: torch.device
) -> tuple[list[tuple[Config, Parameters | None]], list[Fault]]:
    """Return the configs from the last to the first with their counted weights, and the faults of
    models and adapters, which leave weights uncounted."""
    found: list[tuple[Config, Parameters | None]] = []
    faults: list[Fault] = []
    for config in reversed(configs):
        try:
            found.append((config, preflight(TrainSettings.of(config), labels, device)))
        except UserError as error:
            faults += error.faults
            found.append((config, None))
    return found, faults


def _look_at_rows(plan: Plan, configs: Iterable[Config]) -> dict[str, Looked]:
    """Return what was found in the tokenised rows, for each tokenizer and length.

    Raises UserError if a model cannot take them.
    """
    data = TokenisedData(plan.splits, token_cache())
    asked = {tokenised_by(config): config for config in configs}
    found = {tokens: look_at(TrainSettings.of(config), data) for tokens, config in asked.items()}
    if faults := [fault for one in found.values() for fault in one.faults]:
        raise UserError(faults)
    return found


def _settled(plan: Plan, facts: Facts) -> tuple[Plan, list[str]]:
    """Return the plan with a value for `trainer.bf16=auto`, and notes on it.

    The value is that of the study in the run directory, or whether the device supports bf16.
    """
    if all(corner.trainer.bf16 != "auto" for corner in plan.corners):
        return plan, []
    bf16, why = facts.has_bf16, f"{facts.device_name} has it"
    store = Store(Path(plan.config.run_dir))
    if (lock := store.lock()) is not None and store.has_begun():
        began = lock.config.trainer.in_bf16
        why = why if began == bf16 else "the study in run_dir began with it"
        off = f"trainer.bf16 is auto: off, for the study in {store.root} began without it"
        if bf16 and not began and not plan.config.trainer.fp16:
            return plan.settled(bf16=False), [f"{off}; a new study.study_name or run_dir trains in bf16"]
        bf16 = began
    plan = plan.settled(bf16=bf16)
    return plan, [f"trainer.bf16 is auto: on, for {why}"] if plan.config.trainer.in_bf16 else []


def unmeasured(study: StudyConfig, device: str) -> list[Fault]:
    """Return a fault for an objective that is not measured on this kind of device."""
    if study.second_metric != DEVICE_PEAK or device != "cpu":
        return []
    rule = f"is {DEVICE_PEAK}, but trials train on the CPU here, whose memory is cost/peak_host_bytes"
    return [Fault("study.second_metric", rule)]


def describe(plan: Plan, account: Parameters, *, notes: Sequence[str] = (), lines: Sequence[str] = ()) -> str:
    """Return the text of a dry run.

    `notes` come first; `lines` state the expected time and memory.
    """
    config, splits = plan.config, plan.splits
    rows = {"train": len(splits.all_train), "validation": splits.scored_rows, "test": len(splits.test or ())}
    steps = sorted({total_steps(len(splits.train), corner.trainer) for corner in plan.corners})
    evaluations = sorted({len(evaluation_steps(len(splits.train), corner.trainer)) for corner in plan.corners})
    space = [f"  {one.key}: {one.domain}{_when(one.when)}" for one in plan.space]
    objectives = zip(config.study.directions, config.study.objectives, strict=True)
    wanted = " and ".join(f"{direction} {one.metric}" for direction, one in objectives)
    end = "dry run: nothing was trained, and nothing written outside the cache"
    return "\n".join([
        *(f"note: {note}" for note in notes), *([""] if notes else []),
        OmegaConf.to_yaml(OmegaConf.create(literal(scrubbed(config)))).rstrip(),
        "",
        f"search space{f' ({plan.space.source})' if plan.space.source else ''}:", *(space or ["  nothing is searched"]),
        *_unpacked(plan),
        f"trials: {config.study.n_trials}, sampler {config.study.sampler}, pruner {config.study.pruner}, {wanted}",
        *stop_line(config.study),
        "rows: " + ", ".join(f"{name} {count:,}" for name, count in rows.items()) + f"; {len(splits.labels)} labels",
        *_divided(plan),
        *_afterwards(plan),
        *_example(config, splits),
        f"steps per trial: {_span(steps)}; evaluations per trial: {_span(evaluations)}",
        *_accounted(account),
        *lines,
        f"written to: {config.run_dir}; storage: {scrub(config.study.storage or f'{config.run_dir}/study.db')}; "
        f"tracker: {described(config.tracker)}",
        f"{end}; {len(notes)} note{'s' if len(notes) > 1 else ''} above the config" if notes else end,
    ])  # fmt: skip


def _unpacked(plan: Plan) -> list[str]:
    """Return a line for each reason why trials of `engine=packed` go to the Trainer."""
    if plan.config.engine.name != "packed":
        return []
    reasons = dict.fromkeys(filter(None, (choose_loop(TrainSettings.of(corner)).reason for corner in plan.corners)))
    return [f"one trial at a time, by the Trainer: {reason}" for reason in reasons]


def _never_packed(plan: Plan) -> list[str]:
    """Return a note for each model whose architecture alone keeps its trials from being packed."""
    if plan.config.engine.name == "trainer":
        return []
    packed = [corner for corner in plan.corners if choose_loop(TrainSettings.of(corner)).loop is Loop.PACKED]
    models = {corner.model.model_dump_json(): corner.model for corner in packed}
    reasons = {model.path or str(model.config): never_packed(model) for model in models.values()}
    return [
        f"model.path is {path}, and {why}: its trials cannot be packed, and the Trainer trains them one at a time"
        for path, why in reasons.items() if why
    ]  # fmt: skip


def _never_broken(config: Config, device: str) -> list[str]:
    """Return a note on a limit that no trial on this device can break."""
    if torch.device(device).type == "cuda" or DEVICE_BYTES not in config.study.limits:
        return []
    return [f"study.limits names {DEVICE_BYTES}, which is 0 on the {device}: no trial breaks it; use {HOST_BYTES}"]


def _divided(plan: Plan) -> list[str]:
    """Return lines on the way in which rows are held out, where that is not at random."""
    found, lines = plan.splits.state.division, []
    if found.by == "group":
        counts = ", ".join(f"{role} {count:,}" for role, count in found.groups.items())
        lines.append(f"groups of {found.column}: {counts}")
    if found.by == "time":
        lines.append(f"{found.column}: " + ", ".join(f"{role} {a} to {b}" for role, (a, b) in found.ranges.items()))
    if found.folds:
        least, most = min(found.folds), max(found.folds)
        lines.append(
            f"folds: {len(found.folds)}, each trained on {_span(sorted({least[0], most[0]}))} rows; a trial's score is their mean"
        )
    return lines


def _afterwards(plan: Plan) -> list[str]:
    """Return lines on the trainings after the search."""
    study = plan.config.study
    choices = plan.space.choices(study.compare_by)
    kinds, lines = max(len(choices), 1), []
    if choices:
        lines.append(f"compared by {study.compare_by}: {', '.join(map(str, choices))}, with equal numbers of trials")
    if study.confirm_seeds > 1:
        shares = [study.n_trials // kinds + (index < study.n_trials % kinds) for index in range(kinds)]
        best = sum(min(study.confirm_top, share) for share in shares)
        times = best * study.confirm_seeds
        each = f", each of {len(plan.splits.folds)} folds" if plan.splits.folds else ""
        lines.append(
            f"fresh seeds: up to {times} more trainings ({study.confirm_seeds} of each of the {best} best trials{each})"
        )
    lines.append(f"retrained at the end: {kinds}, each with its own seed")
    if plan.config.refits:
        rows = len(plan.splits.merged.train)
        most = max(total_steps(rows, corner.trainer) for corner in plan.corners)
        which = "train rows" if plan.splits.folds else "train and validation rows"
        lines.append(f"refitted at the end: {kinds}, on {rows:,} {which}, up to {most:,} steps; tested and kept")
    return lines


def _example(config: Config, splits: Splits) -> list[str]:
    """Return the first prompt and the label words, which show a missing or an extra space."""
    if config.prompt is None:
        return []
    text, pair = next(splits.train.inputs())
    prompt = filled(config.prompt.template, text, pair or "")
    return [
        f"first prompt: {prompt!r}",
        f"label words: {', '.join(map(repr, label_words(config.prompt, splits.labels)))}",
    ]


def _accounted(account: Parameters) -> list[str]:
    """Return a line with the totals, then a table with a row for each group of weights."""
    share = 100 * account.trainable / account.total
    size = account.bytes / 2**20
    return [
        f"parameters: {account.total:,} in total, {account.trainable:,} trained ({share:.2f} %), {size:,.0f} MiB of weights",
        f"  {'weights of':<20}{'parameters':>16}{'trained':>14}{'MiB':>10}",
        *(
            f"  {name:<20}{group.total:>16,}{group.trainable:>14,}{group.bytes / 2**20:>10,.1f}"
            for name, group in account.groups.items()
        ),
    ]


def _distinct(configs: Iterable[Config]) -> list[Config]:
    """Return one config for each combination of model, adapter, optimizer and length, in order."""
    found: dict[str, Config] = {}
    for config in configs:
        trainer = config.trainer
        parts = (
            config.model,
            config.adapter,
            config.prompt,
            config.dataset.max_length,
            config.optimizer.name,
            trainer.in_bf16,
            trainer.fp16,
            trainer.gradient_checkpointing,
        )
        found.setdefault(repr(parts), config)
    return list(found.values())


def _span(values: list[int]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def _when(when: object) -> str:
    return f", when {when}" if when else ""
