"""A trained model as a folder: what was trained, and what is needed to load it again with
identical logits.

sweep_model.json   the base, the labels and what was trained
config.json        transformers' config, labels included; with `model.pooling` one that
                   transformers refuses
architecture.json  with `model.pooling`: the config that transformers takes
                   (`sweep.model.pooling_marks`)
adapter_*          an adapter, in PEFT's format, with the head
head.safetensors   the head, where it alone was trained
model.safetensors  every weight, where all were trained; with `model.pooling`
                   model.KIND_pooling.safetensors
tokenizer*         the tokenizer
README.md          the model card
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from peft import PeftConfig, PeftModel, get_peft_config
from safetensors.torch import load_file, save_file
from torch import device as Device
from torch import nn
from transformers import (
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from sweep.config.schema import Config, ModelConfig, ShrinkConfig
from sweep.config.secrets import shown
from sweep.data.columns import text_columns
from sweep.data.labels import LabelSpace
from sweep.data.prompt import bind
from sweep.data.token_limit import token_limit
from sweep.data.tokenise import padded_in_full
from sweep.errors import UserError, disk_failure, naming, raise_if_out_of_memory
from sweep.model import base as bases
from sweep.model import manifest as manifests
from sweep.model import pooling_marks
from sweep.model.account import trained_head, unwrapped, without_words
from sweep.model.adapter import head_only
from sweep.model.architecture import language_head
from sweep.model.autocast import compute_under
from sweep.model.base import Base, BaseSpec
from sweep.model.base_model_cache import pick_device
from sweep.model.card import card
from sweep.model.checkpoint import Checkpoint, locate
from sweep.model.config_json import said
from sweep.model.head import widen
from sweep.model.label_words import WordScorer
from sweep.model.manifest import Manifest
from sweep.model.paths import resolve
from sweep.model.pooling import install
from sweep.model.quiet import quiet
from sweep.model.source import find
from sweep.model.state import restore, trainable_state
from sweep.model.weights import download
from sweep.records.final import Refit
from sweep.records.trial import Metrics

HEAD = "head.safetensors"
ADAPTER_CONFIG = "adapter_config.json"


def save(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    config: Config,
    labels: LabelSpace,
    metrics: Metrics | None = None,
    thresholds: tuple[float, ...] | None = None,
    refit: Refit | None = None,
    temperature: float | None = None,
) -> None:
    """Write the model to a folder, and replace files that are there already. `metrics` and `refit`
    go into its card. `thresholds` are probabilities, one for each label of a multi-label task;
    None takes that of the config. `temperature` is what the logits are divided by before they
    become probabilities. The tokenizer is saved with the length limit of the study."""
    folder.mkdir(parents=True, exist_ok=True)
    inner = unwrapped(model)
    longest = token_limit(tokenizer, config.dataset.max_length)
    manifest = Manifest(
        method=config.adapter.method,
        trains=config.adapter.trains,
        base=_pinned(config.model, inner),
        quantization=bases.quantization(config.adapter),
        labels=labels,
        head=(*trained_head(inner), *language_head(inner)),
        max_length=longest,
        pad_token_id=inner.config.get_text_config().pad_token_id,
        thresholds=thresholds or _configured(config, labels),
        prompt=config.prompt,
        autocast=config.trainer.autocast_type or "none",
        columns=text_columns(config.dataset),
        temperature=temperature,
    )
    with _system_errors(folder):
        _save_weights(model, manifest, folder)
        _cutting_at(longest, tokenizer).save_pretrained(folder)
        manifests.write(manifest, folder)
        padding = "'max_length'" if padded_in_full(tokenizer) else "True"
        made = card(shown(config), manifest, metrics or {}, refit, padding=padding)
        (folder / "README.md").write_text(str(made), encoding="utf-8")
        open_to_others(folder, manifests.FILE)


def load(
    folder: Path | str, device: str = "cpu", *, base: str | None = None
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """Return a model in eval mode whose logits are those of the saved one, on the same kind of
    device. A model that was trained under autocast computes under it by itself.

    A model that scores label words takes the output of its `prompt.batch(tokenizer, texts)`.
    `base` is the present location of the base, if it has moved. Raises UserError if `folder` holds
    no such model or the base cannot be reached.
    """
    folder = Path(folder)
    manifest = manifests.read(folder)
    place = pick_device(device)
    if manifest.trained == "everything":
        model: nn.Module = load_full(manifest, folder, place)
    else:
        model = with_trained(load_base(manifest, folder, place, base), manifest, folder)
    if manifest.base.pooling is not None:
        pooling_marks.mark(unwrapped(model), manifest.base.pooling)
    tokenizer = load_tokenizer(manifest, folder)
    if manifest.prompt is not None:
        prompt = bind(manifest.prompt, manifest.labels, tokenizer, max_length=manifest.max_length)
        model = WordScorer(model, unwrapped(model), prompt)
    if manifest.autocast in ("bfloat16", "float16"):
        compute_under(model, manifest.autocast)
    return model.eval(), tokenizer


def thresholds(folder: Path | str) -> tuple[float, ...] | None:
    """Return the probability from which each label of a saved multi-label model applies, in the
    order of its labels; None for a single-label model. Raises UserError if `folder` holds no such
    model."""
    return manifests.read(Path(folder)).thresholds


def temperature(folder: Path | str) -> float | None:
    """Return the number that the logits of a saved model are divided by before they become
    probabilities; None for a model that was not calibrated. Raises UserError if `folder` holds no
    such model."""
    return manifests.read(Path(folder)).temperature


def _save_weights(model: nn.Module, manifest: Manifest, folder: Path) -> None:
    """Write the weights, with the config of transformers beside them."""
    inner, adapted, pooling = unwrapped(model), without_words(model), manifest.base.pooling
    (folder / pooling_marks.ARCHITECTURE).unlink(missing_ok=True)
    if isinstance(adapted, PeftModel):
        vars(adapted)["create_or_update_model_card"] = _no_card
        adapted.save_pretrained(str(folder), save_embedding_layers=False)
        _for_other_machines(folder / ADAPTER_CONFIG, manifest)
    elif manifest.trained == "head":
        save_file(trainable_state(model), folder / HEAD, metadata={"format": "pt"})
    if manifest.trained == "everything":
        with quiet():
            inner.save_pretrained(folder, variant=pooling_marks.variant(pooling) if pooling else None)
    if pooling:
        pooling_marks.save_configs(plain_config(inner), inner, pooling, folder)
    elif manifest.trained != "everything":
        plain_config(inner).save_pretrained(folder)


def _no_card(_folder: str) -> None:
    """Write no card in place of PEFT, which takes longer for it than for small weights: `save`
    writes its own."""


def _for_other_machines(file: Path, manifest: Manifest) -> None:
    """Replace the base's local folder, which PEFT writes, by the name that the user gave. A model
    with a pooling gets a name that PEFT does not know, so that PEFT cannot load it without the
    pooling."""
    settings = json.loads(file.read_text())
    settings |= {"base_model_name_or_path": manifests.base_name(manifest.base), "revision": manifest.base.revision}
    if manifest.base.pooling is not None:
        settings["peft_type"] = pooling_marks.marked_adapter(settings["peft_type"], manifest.base.pooling)
    file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def open_to_others(folder: Path, like: str) -> None:
    """Give every file of a folder the mode of the one called `like`, which has that of the user's
    umask: safetensors makes its files readable by their owner alone."""
    for file in folder.iterdir():
        if file.is_file() and not file.is_symlink():
            shutil.copymode(folder / like, file)


@contextmanager
def _system_errors(folder: Path) -> Iterator[None]:
    """Raise errors of a full disk as OSError with the file's name: safetensors and tokenizers have
    errors of their own."""
    try:
        with naming(folder):
            yield
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(folder)) from error


def _configured(config: Config, labels: LabelSpace) -> tuple[float, ...] | None:
    return (config.trainer.search_threshold,) * len(labels) if labels.task == "multi_label" else None


def load_tokenizer(manifest: Manifest, folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a saved model, which truncates as the rows of the study were."""
    trusted = manifest.base.trust_remote_code
    with _reading(folder):
        config = pooling_marks.read_config(folder, trust_remote_code=trusted) if manifest.base.pooling else None
        found = AutoTokenizer.from_pretrained(folder, config=config, trust_remote_code=trusted)
    return _cutting_at(manifest.max_length, found)


def _cutting_at(longest: int, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Return a copy of the tokenizer that truncates as the rows of the study were; `longest` is in
    tokens."""
    found = copy.copy(tokenizer)
    found.model_max_length = longest
    return found


def load_full(manifest: Manifest, folder: Path, device: Device) -> PreTrainedModel:
    """Return a saved model whose weights were all trained. Raises UserError if its files cannot be
    read."""
    pooling, trusted = manifest.base.pooling, manifest.base.trust_remote_code
    marked = pooling is not None and (folder / pooling_marks.ARCHITECTURE).is_file()
    with quiet(), _reading(folder):
        model: PreTrainedModel = bases.auto_class(causal=manifest.prompt is not None).from_pretrained(
            folder,
            dtype=manifest.base.dtype,
            device_map={"": device},
            trust_remote_code=trusted,
            use_safetensors=True,
            config=pooling_marks.read_config(folder, trust_remote_code=trusted),
            variant=pooling_marks.variant(pooling) if pooling and marked else None,
            **bases.attention(manifest.base),
        )
    install(model, pooling)
    return model


def load_base(manifest: Manifest, folder: Path, device: Device, moved: str | None) -> Base:
    """Return the base that the adapter or head of a saved model belongs to; `moved` is its present
    location, if it has moved. Raises UserError if the base cannot be reached."""
    pinned = _at(manifest.base, folder, moved)
    causal = manifest.prompt is not None
    spec = BaseSpec(pinned, pinned.dtype, manifest.quantization, manifest.labels, manifest.pad_token_id, causal)
    return bases.load(spec, _reached(pinned), device)


def with_trained(base: Base, manifest: Manifest, folder: Path) -> nn.Module:
    """Return the base with the saved adapter and head; the base is changed in place. Raises
    UserError if their files cannot be read."""
    widen(base.model, base.head)
    if manifest.trained != "head":
        with quiet(), _reading(folder):
            config, device = _adapter_config(folder), str(base.model.device)
            return PeftModel.from_pretrained(base.model, folder, config=config, torch_device=device)
    model = head_only(base.model, base.head)
    with _reading(folder):
        restore(model, load_file(folder / HEAD))
    return model


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Raise UserError where a file of a saved model is missing or damaged: the libraries that read
    it have errors of many kinds."""
    try:
        yield
    except Exception as error:
        raise_if_out_of_memory(error)
        if disk_failure(error) is not None:
            raise
        rule = f"holds a saved model that cannot be loaded: {said(error)}; put its files back from a copy"
        raise UserError.of(str(folder), rule) from error


def _reached(base: ModelConfig) -> Checkpoint:
    try:
        return download(find(base))
    except UserError as error:
        asked = "; where it is now can be given: load(folder, base=…)"
        raise UserError([replace(fault, message=fault.message + asked) for fault in error.faults]) from None


def _adapter_config(folder: Path) -> PeftConfig:
    """Return PEFT's config, under the type that PEFT knows."""
    settings = json.loads((folder / ADAPTER_CONFIG).read_text())
    found: PeftConfig = get_peft_config(
        {**settings, "peft_type": pooling_marks.unmarked_adapter(settings["peft_type"])}
    )
    return found


def _at(base: ModelConfig, folder: Path, moved: str | None) -> ModelConfig:
    """Return the present source of the base. The folder of a random base holds the whole
    architecture, already shrunk."""
    if base.init == "random":
        here = {"config": str(pooling_marks.config_file(folder)), "shrink": ShrinkConfig(), "tokenizer": str(folder)}
        return base.model_copy(update=here)
    return base if moved is None else base.model_copy(update={"path": moved, "revision": None})


def _pinned(model: ModelConfig, inner: PreTrainedModel) -> ModelConfig:
    dtype = str(inner.config.dtype).split(".")[-1]
    if model.init == "random":
        return model.model_copy(update={"dtype": dtype})
    location = resolve(model.path)
    path = model.path if model.path.startswith("pkg://") else location
    commit = locate(location, model.revision).commit or None
    return model.model_copy(update={"path": path, "revision": commit, "dtype": dtype})


def plain_config(inner: PreTrainedModel) -> PreTrainedConfig:
    """Return the config without its quantisation, which is of the base in memory and not of any
    file."""
    config = copy.deepcopy(inner.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config
