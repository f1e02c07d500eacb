"""What was run: model, adapter, data, search, code and machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sweep.config.secrets import scrubbed
from sweep.report import rows, tables
from sweep.report.facts import Facts, made
from sweep.report.markdown import block, code, details, escape, join, table
from sweep.report.parameters import parameters
from sweep.report.units import MISSING, count, plural, value

_OPTIMIZER = (
    "name", "learning_rate", "weight_decay", "warmup_steps", "lr_scheduler_type", "optim_args", "optim_target_modules",
    "lr_scheduler_kwargs",
)  # fmt: skip
_TRAINER = (
    "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_grad_norm", "eval_strategy",
    "eval_steps", "early_stopping_patience", "bf16", "fp16", "gradient_checkpointing", "train_sampling_strategy",
)  # fmt: skip


def experiment(facts: Facts) -> str:
    return join(
        [
            "## What was run",
            tables.key_values([*_model(facts), *_search(facts), *_provenance(facts)]),
            "### Data",
            _data(facts),
            parameters(facts),
            _space(facts),
            details("The whole configuration", body=[block(_whole(facts), "yaml")]),
            details("Versions", body=[_versions(facts)]),
        ]
    )


def _model(facts: Facts) -> list[tuple[str, str]]:
    state, pooling = facts.lock.model, _settings(facts, "model", ("pooling",))
    return [
        ("model", f"{code(state.path)}{_at(state.revision)}{made(facts.config.model)}{pooling and f'; {pooling}'}"),
        ("model fingerprint", code(state.fingerprint) if state.fingerprint else MISSING),
        ("adapter", _adapter(facts)),
        ("optimizer", _settings(facts, "optimizer", _OPTIMIZER)),
        ("training", _settings(facts, "trainer", _TRAINER)),
    ]


def _adapter(facts: Facts) -> str:
    """The method's name, then all of its keys."""
    adapter = facts.config.adapter
    shown = _settings(facts, "adapter", adapter.report_keys())
    return shown if "adapter" in facts.searched else f"{escape(adapter.label)}: {shown}"


def _search(facts: Facts) -> list[tuple[str, str]]:
    study = facts.study
    objective = ("objective", f"{study.direction} {code(study.metric)}, the best evaluation of a trial")
    seeds = ", ".join(f"{escape(name)} {number}" for name, number in facts.lock.seeds.items()) or MISSING
    if facts.alone:
        return [objective, ("seeds", seeds)]
    found = [
        objective,
        ("trials planned", count(study.n_trials)),
        ("sampler", escape(_with_options(study.sampler, study.sampler_options))),
        ("pruner", escape(_with_options(study.pruner, study.pruner_options))),
    ]
    if study.enqueue:
        found.append(("tried first", plural(len(study.enqueue), "given configuration")))
    return [*found, ("seeds", seeds)]


def _space(facts: Facts) -> str:
    if not facts.lock.space:
        return "" if facts.alone else "Nothing was searched: every trial has the experiment's values."
    return join(["### Search space", tables.space(facts)])


def _provenance(facts: Facts) -> list[tuple[str, str]]:
    git = facts.lock.git
    lines = len(git.diff.splitlines())
    changed = (
        f", with uncommitted changes ({plural(lines, 'line')} of diff kept in lock.json)" if git.dirty else ", clean"
    )
    machine = "; ".join(f"{name}: {found}" for name, found in facts.lock.machine.items())
    return [
        (
            "commit",
            f"{code(git.commit)}{changed}" if git.commit else "unknown: the code was in no git checkout",
        ),
        ("device", _device(facts)),
        ("machine", escape(machine) or MISSING),
        ("started", escape(facts.lock.created)),
    ]


def _device(facts: Facts) -> str:
    used = dict.fromkeys(trial.outcome.cost.device for trial in facts.trials if trial.outcome.cost.device)
    asked = f"{code(facts.config.trainer.device)} asked for"
    return f"{escape(', '.join(used))} ({asked})" if used else asked


def _data(facts: Facts) -> str:
    data, dataset = facts.lock.data, facts.config.dataset
    splits = table(["split", "rows"], [[escape(name), count(number)] for name, number in data.rows.items()])
    task = "multi-label" if facts.multi_label else "single-label"
    names = ", ".join(escape(name) for name in data.label_names)
    about = f"{code(data.source)}{_at(data.revision)}, {task}, {plural(len(data.label_names), 'label')}"
    about += f", texts cut at {count(dataset.max_length)} tokens" if dataset.max_length else ""
    about += f". Fingerprint {code(data.fingerprint)}." if data.fingerprint else "."
    return join(
        [about, splits, rows.notes(facts), details(f"The {plural(len(data.label_names), 'label')}", body=[names])]
    )


def _whole(facts: Facts) -> str:
    tree = {name: part for name, part in scrubbed(facts.config).items() if name != "published"}
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110))


def _versions(facts: Facts) -> str:
    return table(["package", "version"], [[escape(a), escape(b)] for a, b in facts.lock.versions.items()])


def _settings(facts: Facts, group: str, names: Sequence[str]) -> str:
    """The named values of a config group, null ones left out; a searched one says so in place of a value."""
    if group in facts.searched:
        return "searched, as a whole group"
    section = getattr(facts.config, group)
    found = []
    for name in names:
        setting = getattr(section, name)
        if (name == "compute_dtype" and not _quantised(facts)) or (name == "head_init" and facts.config.prompt):
            continue
        if f"{group}.{name}" in facts.searched:
            found.append(f"{code(name)} searched")
        elif setting is not None:
            shown = _spelled(setting)
            found.append(f"{code(name)} {escape(shown)}")
    return "; ".join(found)


def _spelled(setting: Any) -> str:
    match setting:
        case tuple():
            return ", ".join(setting)
        case Mapping():
            return ", ".join(f"{key}={value(each)}" for key, each in setting.items())
        case _:
            return value(setting)


def _quantised(facts: Facts) -> bool:
    """Only what is stored in 4 bits is computed in another type."""
    return facts.config.adapter.quantization != "none" or "adapter.quantization" in facts.searched


def _with_options(name: str, options: dict[str, object]) -> str:
    given = ", ".join(f"{key}={chosen}" for key, chosen in options.items())
    return f"{name} ({given})" if given else name


def _at(revision: str) -> str:
    return f" at revision {code(revision)}" if revision else ""
