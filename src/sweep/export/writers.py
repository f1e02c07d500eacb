"""The files of an export, by the form of its weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sweep.engine.metrics import Scores
from sweep.errors import UserError
from sweep.export import card, merged, onnx_file, plain, pooling, temperature
from sweep.export.job import Job
from sweep.export.record import Export
from sweep.export.scores import prompt_of, prompted
from sweep.model import artifact
from sweep.model.account import unwrapped


@dataclass(frozen=True, slots=True)
class Written:
    """The files of an export: the logits that were computed from them, (rows, labels), those of
    the unmerged weights in float32 (None where the files hold those weights), what the user types
    to use them, and how to write their card."""

    scores: Scores
    same: Scores | None
    use: str
    write_card: Callable[[Export], None]


def write_merged(job: Job, folder: Path) -> Written:
    """Write a folder of transformers alone. Return it with its logits by the pipeline."""
    model, same = job.widened()
    inner, tokenizer = plain.merged(model), job.scorer.tokenizer
    code = None if pooling.made_plain(inner, job.scorer.plain) else job.manifest.base.pooling
    if code is not None and not job.request.custom_code:
        raise pooling.refusal(inner)
    temperature.put_into_head(inner, job.manifest)
    manifest = merged.write(inner, tokenizer, folder, job.manifest, code)
    del model, inner  # before the pipeline loads the same weights
    arguments = merged.call(tokenizer, code=code is not None)
    given = "".join(f", {name}={value!r}" for name, value in arguments.items())
    return Written(
        scores=merged.scores(folder, job.sample.rows, arguments, job.batch_size),
        same=same,
        use=f'pipeline("text-classification", model="{job.request.place}"{given})',
        write_card=lambda export: card.write_merged(
            job, folder, manifest, export, arguments=given, code=merged.CODE if code else ""
        ),
    )


def write_onnx(job: Job, folder: Path) -> Written:
    """Write an ONNX file with its tokenizer. Return it with its logits by onnxruntime."""
    tokenizer, manifest = job.scorer.tokenizer, job.manifest
    onnx_file.refuse_code(tokenizer)
    unmerged, same = job.widened()
    model = prompted(_merged_if_possible(job, unmerged), manifest, tokenizer)
    del unmerged
    inputs = onnx_file.Inputs.of(tokenizer, model)
    onnx_file.write(model, inputs, folder, {
        "labels": manifest.labels.names, "task": manifest.labels.task, "thresholds": manifest.thresholds,
        "max_length": manifest.max_length,
    }, temperature=manifest.temperature)  # fmt: skip
    tokenizer.save_pretrained(folder)
    onnx_file.write_config(artifact.plain_config(unwrapped(model)), folder)
    prompt = prompt_of(model)
    del model  # before onnxruntime loads the same weights
    return Written(
        scores=onnx_file.scores(folder, job.sample.rows, inputs, job.batch_size, prompt),
        same=same,
        use=f"onnxruntime.InferenceSession({str(Path(job.request.place) / onnx_file.FILE)!r})",
        write_card=lambda export: card.write_onnx(job, folder, export, inputs=inputs, prompt=prompt),
    )


def _merged_if_possible(job: Job, model: nn.Module) -> nn.Module:
    """Return the model with its adapter merged, or beside the weights where PEFT cannot merge
    it."""
    if not job.mergeable:
        return model
    try:
        return plain.merged(model)
    except UserError:  # in the middle of the layers
        return job.widened()[0]


def write_adapter(job: Job, folder: Path) -> Written:
    """Copy the saved model. Return the logits of the copy, as the study computes them; its card is
    that of the winner."""
    shutil.copytree(job.winner.model, folder, dirs_exist_ok=True)
    model, _ = artifact.load(folder, base=job.request.base)
    scores, base = job.scorer.study(model), job.manifest.base
    local = job.manifest.trained != "everything" and base.init == "pretrained" and Path(base.path).is_absolute()
    use = "the code of its card, README.md"
    if local:
        use += "; others do not have its base, a folder of this machine: --merged uploads the weights of both"
    return Written(scores, None, use, write_card=lambda _: None)


WRITERS: Mapping[str, Callable[[Job, Path], Written]] = {
    "merged": write_merged,
    "onnx": write_onnx,
    "adapter": write_adapter,
}
