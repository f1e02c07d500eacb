"""The temperature of a calibrated winner inside of its weights."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from sweep.errors import UserError
from sweep.model.manifest import Manifest


def put_into_head(model: PreTrainedModel, manifest: Manifest) -> None:
    """Divide the last layer of the head by the winner's temperature, so that its logits are
    calibrated; a winner without one stays as it is.

    Raises UserError where the head does not end in a linear layer.
    """
    if manifest.temperature is None:
        return
    last = _last_layer(model, manifest)
    with torch.no_grad():
        last.weight.div_(manifest.temperature)
        if last.bias is not None:
            last.bias.div_(manifest.temperature)


def _last_layer(model: PreTrainedModel, manifest: Manifest) -> nn.Linear:
    """Return the layer whose outputs are the logits. That it is the right one is seen when the
    export is checked."""
    heads = [model.get_submodule(name) for name in manifest.head]
    layers = [layer for head in heads for layer in head.modules() if isinstance(layer, nn.Linear)]
    if not layers or layers[-1].out_features != len(manifest.labels):
        rule = "needs a head that ends in a linear layer, which takes up the temperature of trainer.calibration"
        raise UserError.of("--to", f"{rule}; use --to onnx, or --to hub without --merged")
    return layers[-1]
