"""Rules across several config values. Each check gives the faults it finds; none needs data, weights or torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

from sweep.config.compose import closest
from sweep.config.metrics import better_when_lower, objectives
from sweep.config.parse import Origin
from sweep.config.schema import Config
from sweep.config.secrets import scrub
from sweep.config.space import Space
from sweep.errors import Fault
from sweep.methods import pruner, pruner_class, sampler, sampler_class

Check = Callable[[Config], Iterator[tuple[str, str]]]

LORA_ONLY = ("r", "lora_alpha", "lora_dropout")


def check(config: Config, origin: Origin) -> list[Fault]:
    """Faults of one composed config, each with where the user set the value."""
    return [Fault(path, rule, origin(path)) for one in CHECKS for path, rule in one(config)]


def check_space(config: Config, space: Space, origin: Origin) -> list[Fault]:
    """Faults between the search space and the study that searches it."""
    return [Fault(path, rule, origin(path)) for path, rule in (*_grid(config, space), *_enqueued(config, space))]


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
            f"is {trainer.eval_steps}, but counts only where trainer.eval_strategy is steps; it is {trainer.eval_strategy}",
        )
    if trainer.eval_strategy == "no" and study.pruner != "none":
        yield (
            "study.pruner",
            f"is {study.pruner}, but nothing is evaluated on the way (trainer.eval_strategy is no); use none",
        )
    if trainer.eval_strategy == "no" and trainer.early_stopping_patience is not None:
        yield "trainer.early_stopping_patience", "needs evaluations on the way, but trainer.eval_strategy is no"


def _ignored(config: Config) -> Iterator[tuple[str, str]]:
    """Values that would be read and come to nothing."""
    optimizer, trainer = config.optimizer, config.trainer
    if optimizer.lr_scheduler_type == "constant" and optimizer.warmup_steps > 0:
        yield (
            "optimizer.warmup_steps",
            f"is {optimizer.warmup_steps:g}, but the constant schedule has no warmup; use constant_with_warmup",
        )
    if trainer.early_stopping_threshold > 0 and trainer.early_stopping_patience is None:
        yield "trainer.early_stopping_threshold", "is set, but counts only with trainer.early_stopping_patience"


def _precision(config: Config) -> Iterator[tuple[str, str]]:
    if config.trainer.bf16 and config.trainer.fp16:
        yield "trainer.fp16", "is true, but trainer.bf16 is too; choose one"


def _adapter(config: Config) -> Iterator[tuple[str, str]]:
    adapter = config.adapter
    for name in LORA_ONLY:
        if adapter.method != "lora" and getattr(adapter, name) is not None:
            yield (
                f"adapter.{name}",
                f"is {getattr(adapter, name)}, but adapter.method is {adapter.method}: only LoRA has it",
            )
    if adapter.method != "lora" and adapter.use_rslora:
        yield "adapter.use_rslora", f"is true, but adapter.method is {adapter.method}: only LoRA has it"
    if adapter.method in ("head", "full") and adapter.target_modules is not None:
        yield "adapter.target_modules", f"is set, but adapter.method is {adapter.method}, which adapts no modules"
    if adapter.method == "full" and adapter.quantization != "none":
        yield (
            "adapter.quantization",
            f"is {adapter.quantization}, but a quantised base cannot be trained in full; use lora, ia3 or head",
        )
    if adapter.feedforward_modules is not None and adapter.method != "ia3":
        yield "adapter.feedforward_modules", f"is set, but adapter.method is {adapter.method}: only IA3 has it"


def _dataset(config: Config) -> Iterator[tuple[str, str]]:
    dataset = config.dataset
    if not dataset.path:
        yield "dataset.path", "is empty, but must be a hub id, a folder or a file"
    if dataset.task == "single_label" and dataset.label_columns:
        yield "dataset.label_columns", "needs dataset.task=multi_label; a single label is in dataset.label_column"
    if dataset.test_split is None and not config.study.dry_run:
        yield "dataset.test_split", "is null, but the winner is evaluated on it at the end"


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
    if not study.study_name.strip() or "/" in study.study_name:
        yield "study.study_name", f"is {study.study_name!r}, but must be a name without slashes"
    if study.storage and "://" not in study.storage:
        yield (
            "study.storage",
            f"is {study.storage}, but must be an address such as postgresql://HOST/DATABASE; null is SQLite in run_dir",
        )
    if study.storage and scrub(study.storage) != study.storage:
        yield (
            "study.storage",
            "holds a password; leave it out and use PGPASSWORD or a .pgpass file, so that no record holds it",
        )
    yield from _options("study.sampler_options", study.sampler_options, sampler_class(study.sampler))
    if study.pruner == "none" and study.pruner_options:
        yield "study.pruner_options", "is set, but study.pruner is none"
    elif study.pruner != "none":
        yield from _options("study.pruner_options", study.pruner_options, pruner_class(study.pruner))
    yield from _refused("study.sampler_options", lambda: sampler(study, Space(), 0))
    yield from _refused("study.pruner_options", lambda: pruner(study))


def _refused(path: str, make: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """What Optuna itself says of the values. A name that it does not know is told by `_options`."""
    try:
        make()
    except (ValueError, TypeError) as error:
        if "unexpected keyword argument" not in str(error):
            yield path, f"is refused by Optuna: {str(error).strip().splitlines()[0]}"


def _options(path: str, given: dict[str, object], owner: Callable[..., object]) -> Iterator[tuple[str, str]]:
    parameters = inspect.signature(owner).parameters
    allowed = [name for name in parameters if name not in ("seed", "search_space", "wrapped_pruner")]
    for name, value in given.items():
        if name not in allowed:
            rule = (
                f"is no argument of Optuna's {owner.__name__}{closest(name, allowed)}; there are: {', '.join(allowed)}"
            )
            yield f"{path}.{name}", rule
        elif isinstance(parameters[name].default, int | float) and not isinstance(value, int | float):
            yield f"{path}.{name}", f"is {value!r}, but must be a number"


def _grid(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    study = config.study
    if study.sampler == "grid" and study.enqueue:
        yield "study.enqueue", "is set, but study.sampler is grid, which tries every point as it is"
    if study.sampler == "grid" and not len(space):
        yield "study.sampler", "is grid, but there is no search space (study.space)"
    if study.sampler == "grid" and any(parameter.when for parameter in space):
        yield "study.sampler", "is grid, but the search space has conditional keys (when:), which a grid cannot"
    for parameter in space:
        if study.sampler == "grid" and parameter.domain.grid() is None:
            yield parameter.key, f"is {parameter.domain}, but the grid sampler needs a step or choices"


def _enqueued(config: Config, space: Space) -> Iterator[tuple[str, str]]:
    for index, point in enumerate(config.study.enqueue):
        for key, value in point.items():
            if key not in space:
                yield (
                    f"study.enqueue[{index}]",
                    f"names {key}, which is not searched; searched are: {', '.join(p.key for p in space) or 'none'}",
                )
            elif not space[key].domain.contains(value):
                yield f"study.enqueue[{index}]", f"has {key} = {value}, but the search space allows {space[key].domain}"


CHECKS: tuple[Check, ...] = (_model, _dataset, _adapter, _evaluations, _ignored, _precision, _metric, _study)
