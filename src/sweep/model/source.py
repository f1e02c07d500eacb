"""The source of a model's weights: a checkpoint, a GGUF file, or none (`model.init=random`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sweep.config.folders import expanded
from sweep.config.schema import ModelConfig
from sweep.errors import Fault, UserError
from sweep.model import blueprint, config_json, gguf
from sweep.model.checkpoint import KEY, Checkpoint, blamed, locate
from sweep.model.paths import resolve
from sweep.provenance import Fingerprint, ModelState

_FINGERPRINTED = (".safetensors", ".json", ".txt", ".model", ".jinja", ".py")
_OF_TOKENIZER = (".json", ".txt", ".model", ".jinja", ".py")


def find(model: ModelConfig) -> Checkpoint:
    """Return the checkpoint of a model. A GGUF file is converted here, the first time.

    Raises UserError if the model cannot be reached.
    """
    if model.init == "random":
        return Checkpoint(model.path or str(model.config), None, "", (), at_hand=False, drawn=True)
    found = locate(resolve(model.path), model.revision)
    return gguf.converted(found, model.gguf_file) if model.gguf_file else found


def model_faults(model: ModelConfig) -> list[Fault]:
    """Return the faults of the places of model, config and tokenizer.

    Only faults that show without network, torch and weights are found.
    """
    faults: list[Fault] = []
    if model.init == "random":
        faults += _faults(lambda: blueprint.config_file(model)) if model.config or model.path else []
    elif model.path:
        faults += _faults(lambda: _look(model))
    if model.tokenizer:
        faults += _faults(lambda: tokenizer_location(model))
    return faults


def idle(model: ModelConfig, said: Callable[[str], bool]) -> tuple[str, ...]:
    """Return a note on a setting without effect. `said` returns whether the user set a key."""
    local = model.init == "pretrained" and (model.path.startswith("pkg://") or expanded(model.path).is_dir())
    if not local or model.revision is None or not said("model.revision"):
        return ()
    return (f"model.revision ({model.revision}) has no effect: model.path is a folder here, not on the hub",)


def hub_faults(model: ModelConfig) -> list[Fault]:
    """Return the faults of hub ids that neither the hub nor its cache has.

    Each id takes one request.
    """
    faults: list[Fault] = []
    if model.init == "pretrained":
        faults += _faults(lambda: locate(resolve(model.path), model.revision))
    if model.tokenizer:
        faults += _faults(lambda: tokenizer_checkpoint(model))
    return faults


def tokenizer_location(model: ModelConfig) -> str | None:
    """Return the directory or hub id of the tokenizer, or None.

    It is that of `model.tokenizer`, or of a random model's own tokenizer if its path is at hand.
    It is None where the checkpoint has the tokenizer, or where that of a random model has to be
    made.
    """
    if model.tokenizer:
        with blamed("model.tokenizer"):
            return resolve(model.tokenizer)
    if model.init == "pretrained" or not model.path:
        return None
    try:
        folder = Path(resolve(model.path))
    except UserError:  # a random model's path need not be there
        return None
    return str(folder) if any(folder.glob("*token*")) else None


def tokenizer_checkpoint(model: ModelConfig) -> Checkpoint | None:
    """Return the checkpoint at `tokenizer_location`, or None.

    Raises UserError if the hub has no such repository.
    """
    location = tokenizer_location(model)
    if location is None:
        return None
    with blamed("model.tokenizer"):
        return locate(location, None)


def fingerprint(model: ModelConfig) -> ModelState:
    """Return the state of a model, with a fingerprint of its weights, config and tokenizer.

    Every byte of a local directory or of the GGUF file is hashed. A hub model is known by its
    commit, a random one by its architecture and the seed of its weights. Raises UserError if the
    model cannot be reached.
    """
    tokenizer = tokenizer_checkpoint(model)
    if model.init == "random":
        architecture = json.dumps(blueprint.read(model).to_dict(), sort_keys=True, default=str)
        return _state(model, "", Fingerprint().add(f"random {blueprint.SEED}").add(architecture), tokenizer)
    found = locate(resolve(model.path), model.revision)
    if found.commit:
        digest = Fingerprint().add(found.commit).add(model.gguf_file or "")
        return _state(model, found.commit, digest, tokenizer) if tokenizer else _hub_state(model, found)
    digest = _files(found, (".gguf",) if model.gguf_file else _FINGERPRINTED, only=model.gguf_file)
    return _state(model, "", digest, tokenizer)


def _hub_state(model: ModelConfig, found: Checkpoint) -> ModelState:
    return ModelState(model.path, found.commit, f"{found.commit}{model.gguf_file or ''}")


def _state(model: ModelConfig, commit: str, digest: Fingerprint, tokenizer: Checkpoint | None) -> ModelState:
    if tokenizer is not None:
        digest.add(tokenizer.commit or _files(tokenizer, _OF_TOKENIZER).hex())
    return ModelState(model.path or str(model.config), commit, digest.hex())


def _files(found: Checkpoint, kinds: tuple[str, ...], only: str | None = None) -> Fingerprint:
    digest = Fingerprint()
    for file in sorted(Path(found.location).iterdir()):
        if file.suffix in kinds and file.is_file() and only in (None, file.name):
            digest.add(file.name).add_file(file)
    return digest


def _look(model: ModelConfig) -> None:
    location = resolve(model.path)
    if model.gguf_file:
        gguf.check(location, model.gguf_file)
    elif Path(location).is_dir():
        found = locate(location, None)
        if "config.json" in found.files:
            config_json.check(Path(location) / "config.json", KEY, model.path)
        found.weights()


def _faults(look: Callable[[], object]) -> list[Fault]:
    try:
        look()
    except UserError as error:
        return list(error.faults)
    return []
