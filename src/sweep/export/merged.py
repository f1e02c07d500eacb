"""A plain folder of transformers: every weight in float32, with config, tokenizer and card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from string import Template

import numpy as np
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_layers import GenericForSequenceClassification

from sweep.config.schema import PoolingKind
from sweep.data.splits import Rows
from sweep.data.tokenise import padded_in_full
from sweep.engine.metrics import Scores
from sweep.model import manifest as manifests
from sweep.model import pooling_marks
from sweep.model.architecture import body
from sweep.model.card import POOLED, VECTORS
from sweep.model.manifest import Manifest
from sweep.model.quiet import quiet

CODE = "pooled.py"
_SOURCE = Template(
    '''"""$model whose head is given $pooled.

Written by `sweep export`. It needs transformers alone.
"""

import torch
from transformers import $imports


class Pooled$config($config):
    model_type = "$model_type"

$registered
class Pooled$model($model):
    config_class = Pooled$config

    def __init__(self, config):
        super().__init__(config)
        trunk = self.get_submodule("$trunk")
        $pooler
        trunk.register_forward_hook(_pool, with_kwargs=True)


def _pool(trunk, args, kwargs, output):
    hidden, mask = output["last_hidden_state"], kwargs.get("attention_mask")
    if mask is None:
        mask = torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)
    vector = $vector
    output["last_hidden_state"] = vector[:, None].expand_as(hidden)
    output["pooler_output"] = vector
    return output
'''
)


# A class that makes its headless model by AutoModel, which has to know the config for it.
_REGISTERED = Template(
    """
class Pooled$trunk($trunk):
    config_class = Pooled$config


AutoModel.register(Pooled$config, Pooled$trunk, exist_ok=True)

"""
)


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    manifest: Manifest,
    code: PoolingKind | None,
) -> Manifest:
    """Write the folder, without its card, and return its manifest; the model holds the temperature
    of a calibrated winner already. With `code` the pooling of this
    kind is written as Python code, which transformers runs only if the user trusts it."""
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if code is not None:
        _write_code(model, folder, code)
    base = manifest.base.model_copy(update={"pooling": None, "dtype": "float32", "trust_remote_code": code is not None})
    found = replace(manifest, trains="everything", quantization=None, base=base, autocast="none", temperature=None)
    manifests.write(found, folder)
    return found


def call(tokenizer: PreTrainedTokenizerBase, *, code: bool) -> dict[str, object]:
    """Return the arguments of `pipeline` with which it reads texts as the study did."""
    padding = {"padding": "max_length"} if padded_in_full(tokenizer) else {}
    return {"truncation": True, **padding, **({"trust_remote_code": True} if code else {})}


def scores(folder: Path, rows: Rows, arguments: dict[str, object], size: int) -> Scores:
    """Return the logits, (rows, labels), that transformers' pipeline computes from the folder
    alone, in batches of `size` rows."""
    from transformers import pipeline

    with quiet():
        classify = pipeline("text-classification", model=str(folder), device="cpu", **arguments)  # type: ignore[call-overload]
    inputs = [text if pair is None else {"text": text, "text_pair": pair} for text, pair in rows.inputs()]
    found = classify(inputs, top_k=None, function_to_apply="none", batch_size=size)
    order = classify.model.config.label2id
    logits = np.empty((len(inputs), len(order)), dtype=np.float32)
    for row, labels in enumerate(found):
        for one in labels:
            logits[row, order[one["label"]]] = one["score"]
    return logits


def _write_code(model: PreTrainedModel, folder: Path, kind: PoolingKind) -> None:
    """Write the class, and name it in the config. The model type is one that transformers does not
    have: it would load its own class otherwise, without the pooling and without a word."""
    config, name = type(model.config).__name__, type(model).__name__
    trunk, kind_of = model.get_submodule(body(model)), pooling_marks.marked_type(model.config.model_type, kind)
    generic, headless = isinstance(model, GenericForSequenceClassification), type(trunk).__name__
    gone = isinstance(getattr(trunk, "pooler", None), nn.Identity)
    source = _SOURCE.substitute(
        config=config, model=name, model_type=kind_of, trunk=body(model), pooled=POOLED[kind], vector=VECTORS[kind],
        imports=", ".join(sorted((config, name, *(("AutoModel", headless) if generic else ())))),
        registered=_REGISTERED.substitute(config=config, trunk=headless) if generic else "",
        pooler="trunk.pooler = torch.nn.Identity()  # its weights are not here" if gone else "# its own pooler, if any, stays",
    )  # fmt: skip
    (folder / CODE).write_text(source, encoding="utf-8")
    file, module = folder / "config.json", Path(CODE).stem
    values = json.loads(file.read_text())
    values |= {
        "model_type": kind_of,
        "architectures": [f"Pooled{name}"],
        "auto_map": {
            "AutoConfig": f"{module}.Pooled{config}",
            "AutoModelForSequenceClassification": f"{module}.Pooled{name}",
        },
    }
    file.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
