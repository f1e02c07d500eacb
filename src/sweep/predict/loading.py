"""A saved model, by its run directory or its folder."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase

from sweep.config.schema import Config
from sweep.data.columns import text_columns
from sweep.errors import Fault, UserError
from sweep.model import artifact
from sweep.model import manifest as manifests
from sweep.model.account import unwrapped
from sweep.model.autocast import compute_under
from sweep.model.label_words import WordScorer
from sweep.predict.classifier import BATCH_SIZE, Classifier
from sweep.predict.tokens import Reader
from sweep.records.winner import Winner, find_winner


def load(path: Path | str, *, device: str = "auto", base: str | None = None, choice: str | None = None) -> Classifier:
    """Return the winner of a run directory, or the model in a folder that `sweep` saved.

    `device` is auto, cpu or cuda. `base` is the present location of the base, if it has moved.
    `choice` is a value of `study.compare_by`, where a study compared several. Raises UserError
    where there is no such model, or its base cannot be reached.
    """
    root = Path(path)
    if (root / manifests.FILE).is_file():
        return _classifier(root, None, device, base)
    return of_winner(find_winner(root, choice), device=device, base=base)


def of_winner(winner: Winner, *, device: str = "auto", base: str | None = None) -> Classifier:
    """Return the model of a winner. Arguments and errors are as of `load`."""
    return _classifier(winner.model, winner.record.config, device, base)


def _classifier(folder: Path, config: Config | None, device: str, base: str | None) -> Classifier:
    """Return the model in a folder. `config` is that of its training, where it is known: older
    folders do not hold all that is needed of it."""
    manifest = manifests.read(folder)
    model, tokenizer = _loaded(folder, device, base)
    columns = manifest.columns
    if config is not None:
        columns = columns or text_columns(config.dataset)
        if manifest.autocast is None and config.trainer.autocast_type is not None:
            compute_under(model, config.trainer.autocast_type)
    prompt = model.prompt if isinstance(model, WordScorer) else None
    return Classifier(
        model=model,
        reader=Reader.of(tokenizer, manifest.max_length, prompt, _embeddings(model)),
        space=manifest.labels,
        thresholds=manifest.thresholds,
        paired=len(columns) > 1 if columns else None,
        batch_size=BATCH_SIZE if config is None else config.trainer.per_device_eval_batch_size,
        temperature=manifest.temperature,
    )


def _loaded(folder: Path, device: str, base: str | None) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    try:
        return artifact.load(folder, device, base=base)
    except UserError as error:
        raise UserError(
            [Fault("device", one.message) if one.path == "trainer.device" else one for one in error.faults]
        ) from None


def _embeddings(model: nn.Module) -> int | None:
    size = getattr(unwrapped(model).config.get_text_config(), "vocab_size", None)
    return size if isinstance(size, int) and size > 0 else None
