"""The second step of checking: on the meta device, without weights. A dry run ends here."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from omegaconf import OmegaConf

from sweep.config.schema import Config
from sweep.config.secrets import scrub, scrubbed
from sweep.data.splits import Splits
from sweep.data.template import filled, label_words
from sweep.errors import Fault, UserError
from sweep.model.bench import pick_device
from sweep.model.preflight import preflight
from sweep.model.source import idle
from sweep.plan import Plan
from sweep.records import Parameters
from sweep.steps import evaluation_steps, total_steps
from sweep.study.session import check_place
from sweep.train.arguments import device_faults
from sweep.train.packed import unpackable


def prepare(plan: Plan) -> None:
    """Look at every model and adapter that the search can reach. Raises UserError with all that is wrong with them,
    and SystemExit(0) once a dry run has printed its plan.
    """
    faults: list[Fault] = []
    account = Parameters(0, 0, 0)
    for config in reversed(_distinct(plan.corners)):
        try:
            faults += device_faults(config, pick_device(config.trainer.device))
            account = preflight(config, plan.splits.labels)
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(faults)
    for note in (*plan.notes, *plan.splits.warnings, *idle(plan.config.model)):
        print(f"note: {note}", file=sys.stderr)
    if plan.config.study.dry_run:
        check_place(plan)
        print(describe(plan, account))
        raise SystemExit(0)


def describe(plan: Plan, account: Parameters) -> str:
    """The plan in words: what would run, on what, for how long, and where it would be written."""
    config, splits = plan.config, plan.splits
    rows = {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test or ())}
    steps = sorted({total_steps(len(splits.train), corner) for corner in plan.corners})
    evaluations = sorted({len(evaluation_steps(len(splits.train), corner)) for corner in plan.corners})
    space = [
        f"  {key}: {parameter.domain}{_when(parameter.when)}" for key, parameter in ((p.key, p) for p in plan.space)
    ]
    return "\n".join([
        OmegaConf.to_yaml(OmegaConf.create(scrubbed(config))).rstrip(),
        "",
        f"search space{f' ({plan.space.source})' if plan.space.source else ''}:", *(space or ["  nothing is searched"]),
        *_unpacked(plan),
        f"trials: {config.study.n_trials}, sampler {config.study.sampler}, pruner {config.study.pruner}, "
        f"{config.study.direction} {config.study.metric}",
        "rows: " + ", ".join(f"{name} {count:,}" for name, count in rows.items()) + f"; {len(splits.labels)} labels",
        *_afterwards(plan),
        *_example(config, splits),
        f"steps per trial: {_span(steps)}; evaluations per trial: {_span(evaluations)}",
        *_accounted(account),
        f"written to: {config.run_dir}; storage: {scrub(config.study.storage or f'{config.run_dir}/study.db')}; "
        f"tracker: {config.tracker.name}, mode {config.tracker.mode}",
        "dry run: nothing was trained and nothing was written",
    ])  # fmt: skip


def _unpacked(plan: Plan) -> list[str]:
    """What a pack that was asked for cannot carry."""
    if plan.config.engine.name != "packed":
        return []
    reasons = dict.fromkeys(filter(None, map(unpackable, plan.corners)))
    return [f"one trial at a time, by the Trainer: {reason}" for reason in reasons]


def _afterwards(plan: Plan) -> list[str]:
    """What is trained once the search is over."""
    study = plan.config.study
    methods = plan.space.methods(study.compare_by) if study.compare_by else ()
    kinds, lines = max(len(methods), 1), []
    if methods:
        lines.append(f"compared by {study.compare_by}: {', '.join(map(str, methods))}, with equal numbers of trials")
    if study.confirm_seeds > 1:
        shares = [study.n_trials // kinds + (index < study.n_trials % kinds) for index in range(kinds)]
        best = sum(min(study.confirm_top, share) for share in shares)
        times = best * study.confirm_seeds
        lines.append(
            f"fresh seeds: up to {times} more trainings ({study.confirm_seeds} of each of the {best} best trials)"
        )
    lines.append(f"retrained at the end: {kinds}, each with its own seed")
    if study.refit:
        rows = len(plan.splits.merged.train)
        most = max(total_steps(rows, corner) for corner in plan.corners)
        lines.append(
            f"refitted at the end: {kinds}, on {rows:,} train and validation rows, up to {most:,} steps; tested and kept"
        )
    return lines


def _example(config: Config, splits: Splits) -> list[str]:
    """The first train row as the model will read it: a template is easily a space off."""
    if config.prompt is None:
        return []
    text, pair = next(splits.train.inputs())
    prompt = filled(config.prompt.template, text, pair or "")
    return [
        f"first prompt: {prompt!r}",
        f"label words: {', '.join(map(repr, label_words(config.prompt, splits.labels)))}",
    ]


def _accounted(account: Parameters) -> list[str]:
    """The whole in a line, then a small table with a row for each group of weights."""
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
    """One config for each model, adapter, optimizer and length among `configs`, in order."""
    found: dict[str, Config] = {}
    for config in configs:
        trainer = config.trainer
        parts = (
            config.model,
            config.adapter,
            config.prompt,
            config.dataset.max_length,
            config.optimizer.name,
            trainer.bf16,
            trainer.fp16,
            trainer.gradient_checkpointing,
        )
        found.setdefault(repr(parts), config)
    return list(found.values())


def _span(values: list[int]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def _when(when: object) -> str:
    return f", when {when}" if when else ""
