"""What was run: model, adapter, data, search, code and machine."""

from __future__ import annotations

import yaml

from sweep.config.schema import Scalar, Section
from sweep.config.secrets import scrubbed
from sweep.report import tables
from sweep.report.facts import Facts
from sweep.report.markdown import block, code, details, escape, join, table
from sweep.report.units import MISSING, count, plural, share, size, value


def experiment(facts: Facts) -> str:
    return join(
        [
            "## What was run",
            tables.key_values([*_model(facts), *_parameters(facts), *_search(facts), *_provenance(facts)]),
            "### Data",
            _data(facts),
            "### Search space",
            tables.space(facts)
            if facts.lock.space
            else "Nothing was searched: every trial has the experiment's values.",
            details("The whole configuration", body=[block(_whole(facts), "yaml")]),
            details("Versions", body=[_versions(facts)]),
        ]
    )


def _model(facts: Facts) -> list[tuple[str, str]]:
    config, state = facts.config, facts.lock.model
    adapter = config.adapter
    named: dict[str, Scalar] = {"adapter": adapter.method, "quantization": adapter.quantization, "r": adapter.r}
    named |= {"lora_alpha": adapter.lora_alpha, "lora_dropout": adapter.lora_dropout}
    named |= {
        "target_modules": ", ".join(adapter.target_modules) if isinstance(adapter.target_modules, tuple) else None
    }
    chosen = [f"{name} {value(setting)}" for name, setting in named.items() if setting is not None]
    return [
        ("model", code(state.path) + _at(state.revision)),
        ("model fingerprint", code(state.fingerprint) if state.fingerprint else MISSING),
        ("adapter", escape("; ".join(chosen)) + _searched(facts, "adapter")),
        ("optimizer", escape(_settings(config.optimizer)) + _searched(facts, "optimizer")),
        ("training", escape(_settings(config.trainer)) + _searched(facts, "trainer")),
    ]


def _parameters(facts: Facts) -> list[tuple[str, str]]:
    if facts.final is None:
        return [("parameters", "not counted before the winner is retrained")]
    held, cost = facts.final.parameters, facts.final.cost
    trained = f"{count(held.trainable)} of {count(held.total)} trained ({share(held.trainable, held.total)})"
    groups = ", ".join(f"{escape(name)} {count(number)}" for name, number in held.by_group.items())
    rows = [("parameters", trained), ("memory of the weights", size(held.bytes))]
    if groups:
        rows.append(("parameters by group", groups))
    peaks = f"host {size(cost.peak_host_bytes)}, device {size(cost.peak_device_bytes)}"
    return [*rows, ("peak memory, retraining", peaks)]


def _search(facts: Facts) -> list[tuple[str, str]]:
    study = facts.study
    return [
        ("objective", f"{study.direction} {code(study.metric)}, the best evaluation of a trial"),
        ("trials planned", count(study.n_trials)),
        ("sampler", escape(_with_options(study.sampler, study.sampler_options))),
        ("pruner", escape(_with_options(study.pruner, study.pruner_options))),
        ("tried first", plural(len(study.enqueue), "given configuration")),
        (
            "seeds",
            ", ".join(f"{escape(name)} {number}" for name, number in facts.lock.seeds.items()) or MISSING,
        ),
    ]


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
        ("device", f"{code(facts.config.trainer.device)} asked for"),
        ("machine", escape(machine) or MISSING),
        ("started", escape(facts.lock.created)),
    ]


def _data(facts: Facts) -> str:
    data, dataset = facts.lock.data, facts.config.dataset
    splits = table(["split", "rows"], [[escape(name), count(rows)] for name, rows in data.rows.items()])
    task = "multi-label" if facts.multi_label else "single-label"
    names = ", ".join(escape(name) for name in data.label_names)
    about = f"{code(data.source)}{_at(data.revision)}, {task}, {plural(len(data.label_names), 'label')}"
    about += f", texts cut at {count(dataset.max_length)} tokens" if dataset.max_length else ""
    about += f". Fingerprint {code(data.fingerprint)}." if data.fingerprint else "."
    return join([about, splits, details(f"The {plural(len(data.label_names), 'label')}", body=[names])])


def _whole(facts: Facts) -> str:
    tree = {name: part for name, part in scrubbed(facts.config).items() if name != "published"}
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110))


def _versions(facts: Facts) -> str:
    return table(["package", "version"], [[escape(a), escape(b)] for a, b in facts.lock.versions.items()])


def _settings(section: Section) -> str:
    """What differs from the schema's defaults, the name of the thing first."""
    default = type(section)()
    changed = {name: getattr(section, name) for name in type(section).model_fields}
    return (
        "; ".join(
            f"{name} {value(setting)}"
            for name, setting in changed.items()
            if name == "name" or setting != getattr(default, name)
        )
        or "defaults"
    )


def _searched(facts: Facts, group: str) -> str:
    keys = [key for key in facts.searched if key == group or key.startswith(f"{group}.")]
    return f" (searched: {', '.join(code(key) for key in keys)})" if keys else ""


def _with_options(name: str, options: dict[str, object]) -> str:
    given = ", ".join(f"{key}={chosen}" for key, chosen in options.items())
    return f"{name} ({given})" if given else name


def _at(revision: str) -> str:
    return f" at revision {code(revision)}" if revision else ""
