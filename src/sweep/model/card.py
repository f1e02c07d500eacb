"""The model card: what is known of a saved model as metadata, and a text from a template."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData, metadata_load, try_to_load_from_cache
from jinja2 import Environment

from sweep.config.loss import LossConfig
from sweep.config.metrics import AVERAGED
from sweep.config.schema import Config, ModelConfig
from sweep.data.example import batch, texts
from sweep.data.template import label_words
from sweep.errors import UserError
from sweep.model import markdown, pooling_marks
from sweep.model.base import auto_class
from sweep.model.manifest import Manifest
from sweep.model.paths import resolve
from sweep.records.calibration import limit_reached
from sweep.records.final import Refit
from sweep.records.trial import Metrics

FILE = "README.md"
POOLED = {
    "mean": "the mean of the last hidden states over a text's tokens",
    "cls": "the last hidden state of a text's first token",
    "last": "the last hidden state of a text's last token",
    "pooler": "what the base's own pooler makes of a text",
}
VECTORS = {
    "mean": "((hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).to(hidden.dtype)",
    "cls": "hidden[range(len(hidden)), mask.argmax(1)]",
    "last": "hidden[range(len(hidden)), mask.cumsum(1).argmax(1)]",
    "pooler": 'output["pooler_output"]',
}
_SPLITS = {"eval": "validation", "test": "test"}
_SETTINGS = {
    "optimizer": (
        "name", "learning_rate", "weight_decay", "warmup_steps", "lr_scheduler_type", "optim_args", "optim_target_modules",
        "lr_scheduler_kwargs",
    ),
    "trainer": (
        "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_grad_norm", "seed",
        "class_weights", "focal_gamma", "logit_adjustment_tau",
    ),
    "dataset": ("path", "revision", "max_train_samples", "max_length"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loading:
    """A section "Loading" in place of the usual one, as Markdown, the library that loads the
    folder, and whether its pipeline does."""

    library: str
    pipeline: bool
    text: str


def card(
    config: Config,
    manifest: Manifest,
    metrics: Metrics,
    refit: Refit | None = None,
    *,
    padding: str = "True",
    loading: Loading | None = None,
) -> ModelCard:
    """Return the card of a model that is saved in a folder of its own, in which the card's code
    runs.

    `metrics` are named as in the records (`eval/accuracy`, …); with a `refit`, those of validation
    are of the model before it, and no results of this one. `padding` is the tokenizer's argument
    as it is written in code; `loading` is for a folder of another form. Nothing is asked of the
    network.
    """
    of_trial = {name: value for name, value in metrics.items() if refit and name.startswith("eval/")}
    own = {name: value for name, value in metrics.items() if name not in of_trial}
    values = _values(config, manifest, padding)
    body = _environment().get_template("card.md.j2").render(
        values, metrics=metrics, own_metrics=own, trial_metrics=of_trial, refit=refit, loading=loading,
        folds=config.dataset.folds,
        stopped_at=None if manifest.temperature is None else limit_reached(manifest.temperature),
    )  # fmt: skip
    return ModelCard(f"---\n{_data(config, manifest, own, loading).to_yaml()}\n---\n\n{body.strip()}\n")


def base_license(base: ModelConfig) -> str | None:
    """Return the license that the base's own card names; None where no card is at hand or it names
    none."""
    if base.init != "pretrained":
        return None
    try:
        place = resolve(base.path)
    except UserError:
        return None
    file = Path(place) / FILE
    if not file.is_file():
        cached = try_to_load_from_cache(place, FILE, revision=base.revision) if not Path(place).is_absolute() else None
        if not isinstance(cached, str):
            return None
        file = Path(cached)
    try:
        found = (metadata_load(file) or {}).get("license")
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return found if isinstance(found, str) else None


def _data(config: Config, manifest: Manifest, metrics: Metrics, loading: Loading | None) -> ModelCardData:
    """Return the metadata. A pipeline is named only where transformers' own loads the folder,
    which has to hold every weight, and scores alike."""
    pooled, adapted = manifest.base.pooling is not None, manifest.trained == "adapter"
    library = "sweep" if pooled else "peft" if adapted else "transformers"
    alike = manifest.trained == "everything" and not pooled and not manifest.prompt and manifest.temperature is None
    if loading is not None:
        library, alike = loading.library, loading.pipeline
    results = _results(config, metrics)
    kinds = dict.fromkeys(result.metric_type for result in results if result.metric_type != "loss")
    return ModelCardData(
        base_model=config.model.path if manifest.base.revision else None,
        license=base_license(manifest.base),
        library_name=library,
        pipeline_tag="text-classification" if alike else None,
        tags=["sweep"],
        metrics=list(kinds) or None,
        model_name=" ".join(config.study.study_name.split()) if results else None,
        eval_results=results or None,
    )


def _results(config: Config, metrics: Metrics) -> list[EvalResult]:
    path = config.dataset.path
    name = (Path(path).name if Path(path).is_absolute() else path) or "unknown"
    found = []
    for key, value in metrics.items():
        split, _, metric = key.partition("/")
        found.append(
            EvalResult(
                task_type="text-classification",
                dataset_type=name,
                dataset_name=name,
                dataset_split=_SPLITS[split],
                dataset_revision=config.dataset.revision,
                metric_type=metric.partition("_")[0] if metric in AVERAGED else metric,
                metric_name=key,
                metric_value=value,
            )
        )
    return found


def _values(config: Config, manifest: Manifest, padding: str) -> dict[str, Any]:
    """Return what the templates write, but for scores."""
    base, kind = manifest.base, manifest.base.pooling
    headed = manifest.prompt is None and manifest.trained == "adapter"
    return {
        "config": config,
        "manifest": manifest,
        "base": base,
        "labels": manifest.labels,
        "title": config.title or config.study.study_name,
        "name": config.model.path or str(config.model.config),
        "drawn": config.model.init != "pretrained",
        "dataset": config.dataset.path,
        "trained": config.adapter.trained + (" and the classification head" if headed else ""),
        "tuned": config.trainer.decision_threshold == "tuned",
        "words": label_words(manifest.prompt, manifest.labels) if manifest.prompt else (),
        "settings": _settings(config),
        "merging": manifest.trained == "adapter" and kind is None,
        "unmergeable": config.adapter.unmergeable(),
        "autocast": config.trainer.autocast_type if manifest.prompt is None else None,
        "texts": texts(paired=config.dataset.text_pair_column is not None),
        "asked": batch(paired=config.dataset.text_pair_column is not None, padding=padding),
        "local_base": Path(base.path).is_absolute() and base.init == "pretrained" and manifest.trained != "everything",
        "auto_class": auto_class(causal=manifest.prompt is not None).__name__,
        "architecture": pooling_marks.ARCHITECTURE,
        "pooled": POOLED[kind] if kind else "",
        "vector": VECTORS[kind] if kind else "",
        "variant": pooling_marks.variant(kind) if kind else "",
        "suffix": pooling_marks.marked_type("", kind) if kind else "",
    }


def _settings(config: Config) -> dict[str, object]:
    tree = config.model_dump(mode="json")
    return {
        f"{section}.{key}": tree[section][key]
        for section, keys in (*_SETTINGS.items(), ("adapter", config.adapter.report_keys()))
        for key in keys
        if tree[section][key] is not None
        and not (key == "head_init" and config.prompt)
        and not (key == "compute_dtype" and config.adapter.quantization == "none")
        and not (key in LossConfig.model_fields and tree[section][key] == LossConfig.model_fields[key].default)
    }


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """Return the environment of the card's templates."""
    made = markdown.environment(Path(__file__).parent / "templates")
    made.globals["zip"] = zip
    made.filters |= {
        "repr": repr,
        "json": lambda value: json.dumps(value, ensure_ascii=False),
        "ascii_json": json.dumps,
    }
    return made
