"""Rules across several values of a config.

Each check yields the key and the rule of each fault that it finds, and needs no data, weights or
torch. The rules of a search space are in `sweep.plan.space_checks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import parse_qsl, unquote

from sweep.config.adapter import METHOD, AdapterConfig
from sweep.config.custom_code import as_user_error
from sweep.config.custom_metrics import metric_faults
from sweep.config.extra_metrics import EXTRA_BY_TASK, LABEL_F1, is_extra, label_of
from sweep.config.limits import limit_names
from sweep.config.metrics import evaluated
from sweep.config.optimizers import BY_METRIC, OPTIMIZERS, optimizer_rules
from sweep.config.schema import Config, StudyConfig
from sweep.config.secrets import scrub
from sweep.data.template import template_faults
from sweep.errors import Fault, closest
from sweep.plan.division_checks import division_rules
from sweep.plan.objectives import first_objective, second_objective
from sweep.plan.whole_batch import split_rules
from sweep.search.options import option_faults
from sweep.search.stopping import error_is_known

Check = Callable[[Config], Iterator[tuple[str, str]]]


def check(config: Config, *, checked: StudyConfig | None = None) -> list[Fault]:
    """Return the faults of one composed config.

    The options of its sampler and pruner are those of `checked` where the study is: making both
    takes longer than all other checks together.
    """
    checks = CHECKS if config.study == checked else (*CHECKS, _options)
    return [Fault(path, rule) for one in checks for path, rule in one(config)]


def _extra_metrics(config: Config) -> Iterator[tuple[str, str]]:
    """Yield a fault for each extra metric that the task does not have."""
    allowed = EXTRA_BY_TASK[config.dataset.task]
    for name in config.dataset.metrics:
        if is_extra(name) and not label_of(name) and name not in allowed:
            rule = f"names {name}, but of the extra metrics a {config.dataset.task} task has: {', '.join(allowed)}"
            yield "dataset.metrics", f"{rule}, {LABEL_F1}LABEL"


def _limits(config: Config) -> Iterator[tuple[str, str]]:
    allowed = limit_names(evaluated(config))
    for name in config.study.limits:
        if name.startswith("test."):
            yield f"study.limits.{name}", "is a limit on the test split, which no choice may look at; use eval.…"
        elif name not in allowed:
            known = ", ".join(allowed)
            yield f"study.limits.{name}", f"is no limit{closest(name, allowed)}; study.limits has: {known}"


def _own_metrics(config: Config) -> Iterator[tuple[str, str]]:
    yield from metric_faults(config.dataset)


def _evaluations(config: Config) -> Iterator[tuple[str, str]]:
    trainer, study = config.trainer, config.study
    if trainer.eval_strategy == "steps" and trainer.eval_steps is None:
        yield "trainer.eval_steps", "is null, but must be a number of steps where trainer.eval_strategy is steps"
    if trainer.eval_strategy != "steps" and trainer.eval_steps is not None:
        yield (
            "trainer.eval_steps",
            f"is {trainer.eval_steps}, but counts only where trainer.eval_strategy is steps; it is {trainer.eval_strategy}: "
            "type trainer.eval_steps=null",
        )
    if trainer.save_newest and not trainer.save_best:
        yield "trainer.save_newest", "is true, but is kept beside the best adapter, and trainer.save_best is false"
    if trainer.eval_strategy == "no" and study.pruner != "none":
        yield (
            "study.pruner",
            f"is {study.pruner}, but nothing is evaluated on the way (trainer.eval_strategy is no); use none",
        )
    schedule = config.optimizer.lr_scheduler_type
    if schedule in BY_METRIC and trainer.eval_strategy == "no":
        rule = f"is {schedule}, which goes by the loss of each evaluation, but trainer.eval_strategy is no"
        yield "optimizer.lr_scheduler_type", f"{rule}; use trainer.eval_strategy=epoch"
    if schedule in BY_METRIC and study.refit:
        rule = f"is true, but optimizer.lr_scheduler_type is {schedule}, which goes by the validation loss"
        yield "study.refit", f"{rule}: a refit has no validation rows; use another schedule"
    if trainer.eval_strategy == "no" and trainer.early_stopping_patience is not None:
        yield "trainer.early_stopping_patience", "needs evaluations on the way, but trainer.eval_strategy is no"


def _ignored(config: Config) -> Iterator[tuple[str, str]]:
    """Yield a fault for each value that the optimizer or the Trainer would ignore."""
    optimizer, trainer = config.optimizer, config.trainer
    yield from optimizer_rules(optimizer)
    if OPTIMIZERS[optimizer.name].alone.startswith("takes its step") and trainer.gradient_accumulation_steps > 1:
        rule = f"is {trainer.gradient_accumulation_steps}, but {optimizer.name} takes a step at each backward pass"
        yield "trainer.gradient_accumulation_steps", f"{rule}; use 1"
    if trainer.early_stopping_threshold > 0 and trainer.early_stopping_patience is None:
        yield "trainer.early_stopping_threshold", "is set, but counts only with trainer.early_stopping_patience"


def _reach(config: Config) -> Iterator[tuple[str, str]]:
    """Yield a fault for each value with which no training succeeds.

    The schema allows them, so that records of old trials can be read.
    """
    for name, most in (("learning_rate", 100), ("weight_decay", 1000)):
        if (value := getattr(config.optimizer, name)) > most:
            yield f"optimizer.{name}", f"is {value:g}, but must be at most {most}"


def _precision(config: Config) -> Iterator[tuple[str, str]]:
    if config.trainer.in_bf16 and config.trainer.fp16:
        yield "trainer.fp16", "is true, but trainer.bf16 is too; choose one"


def _engine(config: Config) -> Iterator[tuple[str, str]]:
    engine = config.engine
    if engine.name == "trainer" and engine.slots not in ("auto", 1):
        rule = f"is {engine.slots}, but engine.name is trainer, which trains one trial at a time"
        yield "engine.slots", f"{rule}; use 1, or engine=auto or engine=packed"


def _launcher(config: Config) -> Iterator[tuple[str, str]]:
    launcher = config.launcher
    of = {"workers": "local", "address": "ray", "node_ip_address": "ray", "cpus_per_worker": "ray"}
    for key, name in of.items():
        value = getattr(launcher, key)
        if value is not None and launcher.name != name:
            rule = f"is {value}, but counts only with launcher={name}, and that is {launcher.name}"
            yield f"launcher.{key}", f"{rule}; type launcher={name}, or launcher.{key}=null"
    if launcher.name == "inline":
        return
    if find_spec("ray") is None:
        yield "launcher.name", f"is {launcher.name}, which needs Ray: pip install 'sweep[ray]'"
    if launcher.name == "ray":
        yield from _address(launcher.address)
        if (own := launcher.node_ip_address) is not None and not _names_a_machine(own):
            yield "launcher.node_ip_address", f"is {own!r}, but must be an address of this machine, such as 10.0.0.5"


def _address(address: str | None) -> Iterator[tuple[str, str]]:
    rule = "must be HOST:PORT of the head of a Ray cluster, such as 10.0.0.5:6379"
    if address is None:
        yield "launcher.address", f"is null, but {rule}"
    elif not (found := re.fullmatch(r"[\w.-]+:(\d{1,5})", address)) or not 0 < int(found[1]) < 2**16:
        shown = address if re.fullmatch(r"\S+", address) else repr(address)  # blanks at its end, or nothing
        yield "launcher.address", f"is {shown}, but {rule}"


def _names_a_machine(address: str) -> bool:
    """Return whether a text is an IP address, or may be the name of a machine."""
    try:
        return bool(ip_address(address))
    except ValueError:
        return re.fullmatch(r"[A-Za-z][\w.-]*", address) is not None


def _adapter(config: Config) -> Iterator[tuple[str, str]]:
    adapter, optimizer = config.adapter, config.optimizer
    with as_user_error(METHOD, adapter.method, "checking its values"):
        broken = [_key_and_rule(adapter, one) for one in adapter.rules()]
    yield from broken
    if adapter.trains == "everything" and adapter.quantization != "none":
        yield (
            "adapter.quantization",
            f"is {adapter.quantization}, but a quantised base cannot be trained in full; use lora, ia3 or head",
        )
    traits = OPTIMIZERS[optimizer.name]
    if adapter.learning_rate_factors() and (traits.targets or traits.alone.startswith("takes its step")):
        rule = f"is set, but optimizer.name is {optimizer.name}, which takes all weights in one group"
        yield "adapter.lr_ratio", f"{rule}; type adapter.lr_ratio=null, or optimizer.name=adamw_torch"


def _key_and_rule(adapter: AdapterConfig, found: object) -> tuple[str, str]:
    """Return the path and the rule that a method's `rules` yielded.

    Raises TypeError for anything else.
    """
    if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, str) for part in found)):
        raise TypeError(f"rules() yielded {found!r}, but must yield pairs of a key and its rule")
    key, rule = found
    if key.partition(".")[0] not in type(adapter).model_fields:
        raise TypeError(f"rules() yielded the key {key!r}, but the method has: {', '.join(type(adapter).model_fields)}")
    return f"adapter.{key}", rule


def _thresholds(config: Config) -> Iterator[tuple[str, str]]:
    threshold, task = config.trainer.decision_threshold, config.dataset.task
    if task == "single_label" and threshold != 0.5:
        yield (
            "trainer.decision_threshold",
            f"is {threshold}, but a single_label task takes the label with the highest score, whatever it is",
        )


def _confirmed(config: Config) -> Iterator[tuple[str, str]]:
    study = config.study
    if study.confirm_seeds == 1 and study.confirm_top != StudyConfig.model_fields["confirm_top"].default:
        yield "study.confirm_top", f"is {study.confirm_top}, but counts only where study.confirm_seeds is above 1"


def _prompt(config: Config) -> Iterator[tuple[str, str]]:
    if config.prompt is None:
        return
    for fault in template_faults(config.prompt, paired=config.dataset.text_pair_column is not None):
        yield fault.path, fault.message
    if config.dataset.task == "multi_label":
        yield "prompt", "is set, but dataset.task is multi_label: label words choose one label; use prompt=none"
    if config.adapter.trains == "head":
        yield "adapter.method", "is head, but with a prompt there is no head to train; use lora, ia3 or full"
    if config.adapter.head_init != "random":
        yield "adapter.head_init", f"is {config.adapter.head_init}, but with a prompt there is no head; use random"
    if config.model.pooling is not None:
        rule = f"is {config.model.pooling}, but with a prompt there is no head, and nothing is pooled; use null"
        yield "model.pooling", rule
    for name in ("label_smoothing_factor", "focal_gamma", "logit_adjustment_tau"):
        if (value := getattr(config.trainer, name)) > 0:
            rule = f"is {value:g}, but with a prompt the loss is of the true label's words alone; use 0"
            yield f"trainer.{name}", rule


def _dataset(config: Config) -> Iterator[tuple[str, str]]:
    dataset = config.dataset
    if not dataset.path:
        yield "dataset.path", "is empty, but must be a hub id, a folder or a file"
    if dataset.task == "single_label" and dataset.label_columns:
        yield "dataset.label_columns", "needs dataset.task=multi_label; a single label is in dataset.label_column"
    if dataset.label_separator is not None and dataset.task == "single_label":
        yield "dataset.label_separator", "needs dataset.task=multi_label; a single label is the whole cell"
    elif dataset.label_separator is not None and dataset.label_columns:
        rule = (
            "is set, but dataset.label_columns are columns of 0 and 1, which need no separator; set one of them to null"
        )
        yield "dataset.label_separator", rule
    if dataset.test_split is None and dataset.test_ratio is None and not config.study.dry_run:
        yield "dataset.test_split", "is null, but the winner is evaluated on it at the end (or set dataset.test_ratio)"
    if dataset.test_split is not None and dataset.test_ratio is not None:
        yield (
            "dataset.test_ratio",
            f"is {dataset.test_ratio}, but the test split is {dataset.test_split}: set one to null",
        )


def _model(config: Config) -> Iterator[tuple[str, str]]:
    model = config.model
    if not model.path and (model.init == "pretrained" or model.config is None):
        yield "model.path", "is empty, but must be a hub id, a folder, or pkg://PACKAGE/FOLDER"
    if model.init == "pretrained":
        for name, value in model.shrink.model_dump().items():
            if value is not None:
                rule = f"is {value}, but model.init is pretrained: only a model without weights can be made smaller"
                yield f"model.shrink.{name}", f"{rule} (model.init=random)"


def _study(config: Config) -> Iterator[tuple[str, str]]:
    study = config.study
    if not study.study_name.strip(" .") or "/" in study.study_name:
        yield "study.study_name", f"is {study.study_name!r}, but must be a name without slashes, and not of dots alone"
    if study.storage and "://" not in study.storage:
        yield (
            "study.storage",
            f"is {study.storage}, but must be an address such as postgresql://HOST/DATABASE; null is SQLite in run_dir",
        )
    if study.storage and in_memory(study.storage):
        rule = f"is {study.storage}, which is kept in memory and lost when the process ends"
        yield "study.storage", f"{rule}; use sqlite:///FILE, or null, which is a file in run_dir"
    if study.storage and scrub(study.storage) != study.storage:
        yield (
            "study.storage",
            "holds a password; leave it out and use PGPASSWORD or a .pgpass file, so that no record holds it",
        )
    for index, point in enumerate(study.enqueue):
        if not point:
            rule = "is empty, but a point must give at least one searched key a value, such as {optimizer.learning_rate: 1.0e-4}"
            yield f"study.enqueue[{index}]", rule
    if study.stop.on and study.second is not None:
        rule = "is set, but the study has two objectives, and its rules know one; use study.second_metric=null"
        yield "study.stop", f"{rule}, or study.stop.patience=null and study.stop.expected_gain=null"
    if study.stop.expected_gain == "error" and not error_is_known(config.dataset, study.metric):
        rule = (
            f"is error, but the standard error of study.metric={study.metric} does not follow from the number of rows"
        )
        yield "study.stop.expected_gain", f"{rule}; give a number, such as 0.001"


def _options(config: Config) -> Iterator[tuple[str, str]]:
    yield from option_faults(config.study)


def in_memory(address: str) -> bool:
    """Return whether this is the address of an SQLite database that has no file."""
    backend, _, rest = address.partition("://")
    if backend.partition("+")[0].strip().lower() != "sqlite":
        return False
    place, _, query = rest.partition("?")
    database = unquote(place.partition("/")[2])
    inner, _, inner_query = database.removeprefix("file:").partition("?")
    options = {(name, value.lower()) for name, value in [*parse_qsl(query), *parse_qsl(inner_query)]}
    return inner.strip("/") in ("", ":memory:") or bool(options & {("mode", "memory"), ("vfs", "memdb")})


CHECKS: tuple[Check, ...] = (
    _model,
    _dataset,
    division_rules,
    _thresholds,
    _confirmed,
    _adapter,
    _prompt,
    _evaluations,
    _ignored,
    _reach,
    _precision,
    split_rules,
    _engine,
    _launcher,
    _own_metrics,
    _extra_metrics,
    first_objective,
    second_objective,
    _limits,
    _study,
)
