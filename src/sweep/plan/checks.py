"""Rules across several config values. Each check gives the faults it finds; none needs data, weights or torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import parse_qsl, unquote

from sweep.config.adapter import METHOD
from sweep.config.custom_code import told
from sweep.config.metrics import better_when_lower, objectives
from sweep.config.optimizers import BY_METRIC, OPTIMIZERS, optimizer_rules
from sweep.config.parse import Origin
from sweep.config.schema import Config, Scalar, StudyConfig
from sweep.config.secrets import scrub
from sweep.config.space import ENTRIES, Space
from sweep.data.template import template_faults
from sweep.errors import Fault, closest
from sweep.search.options import option_faults, trial_faults

Check = Callable[[Config], Iterator[tuple[str, str]]]

MOST_POINTS = 100_000  # of a grid


def check(config: Config, origin: Origin) -> list[Fault]:
    """Faults of one composed config, each with where the user set the value."""
    return [Fault(path, rule, origin(path)) for one in CHECKS for path, rule in one(config)]


def check_space(config: Config, space: Space, origin: Origin) -> list[Fault]:
    """Faults between the search space and the study that searches it."""
    found = (
        *_grid(config, space), *_enqueued(config, space), *_compared(config, space), *_prompts(config, space),
        *_entries(config, space), *trial_faults(config.study, space),
    )  # fmt: skip
    source = f"search space {space.source}"
    return [Fault(path, rule, source if path in space else origin(path)) for path, rule in found]


def _metric(config: Config) -> Iterator[tuple[str, str]]:
    study, allowed = config.study, objectives(config.dataset.task)
    if study.metric not in allowed:
        name, task = study.metric, config.dataset.task
        rule = f"is {name}, but a {task} task has: {', '.join(allowed)}{closest(name, allowed)}"
        yield (
            "study.metric",
            "is of the test split, which no choice may look at; use eval/…" if name.startswith("test/") else rule,
        )
    elif better_when_lower(study.metric) != (study.direction == "minimize"):
        yield (
            "study.direction",
            f"is {study.direction}, but {study.metric} is better when {'lower' if better_when_lower(study.metric) else 'higher'}",
        )


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
    """Values that would be read and come to nothing."""
    optimizer, trainer = config.optimizer, config.trainer
    yield from optimizer_rules(optimizer)
    if OPTIMIZERS[optimizer.name].alone.startswith("takes its step") and trainer.gradient_accumulation_steps > 1:
        rule = f"is {trainer.gradient_accumulation_steps}, but {optimizer.name} takes a step at each backward pass"
        yield "trainer.gradient_accumulation_steps", f"{rule}; use 1"
    if trainer.early_stopping_threshold > 0 and trainer.early_stopping_patience is None:
        yield "trainer.early_stopping_threshold", "is set, but counts only with trainer.early_stopping_patience"


def _reach(config: Config) -> Iterator[tuple[str, str]]:
    """Values with which no training succeeds. They are no bounds of the schema, so that records of old trials can be read."""
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


def _adapter(config: Config) -> Iterator[tuple[str, str]]:
    adapter, optimizer = config.adapter, config.optimizer
    with told(METHOD, adapter.method, "checking its values"):
        broken = list(adapter.rules())
    yield from ((f"adapter.{key}", rule) for key, rule in broken)
    if adapter.trains == "everything" and adapter.quantization != "none":
        yield (
            "adapter.quantization",
            f"is {adapter.quantization}, but a quantised base cannot be trained in full; use lora, ia3 or head",
        )
    traits = OPTIMIZERS[optimizer.name]
    if adapter.learning_rate_factors() and (traits.targets or traits.alone.startswith("takes its step")):
        rule = f"is set, but optimizer.name is {optimizer.name}, which takes all weights in one group"
        yield "adapter.lr_ratio", f"{rule}; type adapter.lr_ratio=null, or optimizer.name=adamw_torch"


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
    if config.trainer.label_smoothing_factor > 0:
        factor = f"is {config.trainer.label_smoothing_factor:g}"
        yield (
            "trainer.label_smoothing_factor",
            f"{factor}, but with a prompt the loss is of the true label's words alone; use 0",
        )


def _dataset(config: Config) -> Iterator[tuple[str, str]]:
    dataset = config.dataset
    if not dataset.path:
        yield "dataset.path", "is empty, but must be a hub id, a folder or a file"
    if dataset.task == "single_label" and dataset.label_columns:
        yield "dataset.label_columns", "needs dataset.task=multi_label; a single label is in dataset.label_column"
    if dataset.label_separator is not None and dataset.task == "single_label":
        yield "dataset.label_separator", "needs dataset.task=multi_label; a single label is the whole cell"
    elif dataset.label_separator is not None and dataset.label_columns:
        rule = "is set, but dataset.label_columns are columns of 0 and 1, with nothing to part; set one of them to null"
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
    yield from option_faults(study)


def in_memory(address: str) -> bool:
    """Whether this is the address of an SQLite database that has no file."""
    backend, _, rest = address.partition("://")
    if backend.partition("+")[0].strip().lower() != "sqlite":
        return False
    place, _, query = rest.partition("?")
    database = unquote(place.partition("/")[2])
    inner, _, inner_query = database.removeprefix("file:").partition("?")
    options = {(name, value.lower()) for name, value in [*parse_qsl(query), *parse_qsl(inner_query)]}
    return inner.strip("/") in ("", ":memory:") or bool(options & {("mode", "memory"), ("vfs", "memdb")})


def _grid(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    study = config.study
    if study.sampler == "grid" and study.enqueue:
        yield "study.enqueue", "is set, but study.sampler is grid, which tries every point as it is"
    if study.sampler == "grid" and not len(space):
        yield "study.sampler", "is grid, but there is no search space (study.space)"
    if study.sampler == "grid" and any(parameter.when for parameter in space):
        yield "study.sampler", "is grid, but the search space has conditional keys (when:), which a grid cannot"
    for parameter in space:
        if study.sampler == "grid" and parameter.domain.count() is None:
            yield (
                parameter.key,
                f"is {parameter.domain}, but the grid sampler needs a step or choices; use study.space=grid",
            )
    if study.sampler == "grid" and (size := space.grid_size()) is not None and size > MOST_POINTS:
        rule = (
            f"is grid, but the search space has {size:,} points, and a grid is laid out whole: {MOST_POINTS:,} at most"
        )
        yield "study.sampler", f"{rule}; give larger steps, or use qmc or random"


def _compared(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    """Methods can be compared under an equal budget only if the study itself hands out their trials."""
    study = config.study
    if study.compare_by is None:
        return
    methods, path = space.methods(study.compare_by), "study.compare_by"
    if len(methods) < 2:
        choices = [parameter.key for parameter in space if len(space.methods(parameter.key)) > 1]
        rule = f"is {study.compare_by}, but must be a searched key with two or more choices"
        yield path, f"{rule}; this search has: {', '.join(choices) or 'none'}{closest(study.compare_by, choices)}"
        return
    if study.pruner == "hyperband":
        yield (
            "study.pruner",
            "is hyperband, whose brackets mix the methods of study.compare_by; use racing or another one",
        )
    if space[study.compare_by].when:
        yield path, f"is {study.compare_by}, which is searched only under a condition (when:)"
    if study.sampler == "grid":
        yield "study.sampler", "is grid, which tries every point as it is; study.compare_by needs another sampler"
    if study.n_trials < len(methods):
        yield (
            "study.n_trials",
            f"is {study.n_trials}, but must be at least {len(methods)}: one trial for each {study.compare_by}",
        )
    share = -(-study.n_trials // len(methods))
    for index, point in enumerate(study.enqueue):
        if study.compare_by not in point:
            yield (
                f"study.enqueue[{index}]",
                f"must name {study.compare_by}, by which study.compare_by shares out trials",
            )
    for value in methods:
        named = sum(point.get(study.compare_by) == value for point in study.enqueue)
        if named > share:
            rule = f"has {named} points with {study.compare_by}={value}, but each choice gets at most {share} trials"
            yield "study.enqueue", rule


def _enqueued(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    for index, point in enumerate(config.study.enqueue):
        for key, value in point.items():
            if key not in space:
                yield (
                    f"study.enqueue[{index}]",
                    f"names {key}, which is not searched; searched are: {', '.join(p.key for p in space) or 'none'}",
                )
            elif not space[key].active(_met(space, point, key)):
                conditions = " and ".join(
                    f"{name} is {' or '.join(map(str, wanted))}" for name, wanted in space[key].when.items()
                )
                yield f"study.enqueue[{index}]", f"has {key}, which is searched only where {conditions}"
            elif not space[key].domain.contains(value):
                yield f"study.enqueue[{index}]", f"has {key} = {value}, but the search space allows {space[key].domain}"


def _met(space: Space, point: Mapping[str, Scalar], key: str) -> dict[str, Scalar]:
    """The values that decide whether `key` is asked for; one that the point leaves to the sampler may meet its condition."""
    return {name: point.get(name, wanted[0]) for name, wanted in space[key].when.items()}


def _entries(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    """A searched entry of a mapping needs the mapping; beside a text it would take the text's place."""
    for key in ENTRIES:
        searched = [parameter.key for parameter in space if parameter.key.startswith(f"{key}.")]
        group, _, name = key.partition(".")
        given = getattr(getattr(config, group), name, None)
        if searched and isinstance(given, str):
            yield (
                key,
                f"is a text, but {searched[0]} is searched; write it as a mapping, such as '{key}={{NAME: VALUE}}'",
            )
        if searched and key in space:
            yield key, f"is searched as a whole, and {searched[0]} too; search one of them"


def _prompts(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    searched = [parameter.key for parameter in space if parameter.key.split(".")[0] == "prompt"]
    if searched and config.study.metric == "eval/loss":
        rule = f"is eval/loss, but {searched[0]} is searched, and the loss of another prompt is of other words"
        yield "study.metric", f"{rule}; use eval/accuracy or eval/f1_macro"


CHECKS: tuple[Check, ...] = (
    _model,
    _dataset,
    _thresholds,
    _confirmed,
    _adapter,
    _prompt,
    _evaluations,
    _ignored,
    _reach,
    _precision,
    _engine,
    _metric,
    _study,
)
