"""`model.pooling` in the classes of transformers: where one of them computes it too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import nn
from transformers import PreTrainedModel

from sweep.engine.metrics import Scores
from sweep.errors import UserError
from sweep.export.comparison import RATES
from sweep.model import pooling
from sweep.model.architecture import body
from sweep.model.card import POOLED

_SETTING = "classifier_pooling"  # by this name in the configs of transformers that have one


def made_plain(model: PreTrainedModel, score: Callable[[nn.Module], Scores]) -> bool:
    """Take the hook of `model.pooling` off a model whose class pools alike by itself, or by a
    setting of its config; return whether that was so.

    A model without the hook, or whose class pools otherwise, stays as it is. `score` computes the
    logits of a model on the rows of the check, by which the two are compared.
    """
    hook = pooling.pooling_of(model)
    if hook is None:
        return True
    if isinstance(getattr(model.get_submodule(body(model)), "pooler", None), nn.Identity):
        return False  # the class needs the pooler that the hook replaces
    expected = score(model)
    pooling.remove(model)
    own = getattr(model.config, _SETTING, None)
    for kind in (own,) if own is None else (own, "cls", "mean"):
        if own is not None:
            setattr(model.config, _SETTING, kind)
        if _alike(expected, score(model)):
            return True
    if own is not None:
        setattr(model.config, _SETTING, own)
    pooling.install(model, hook.kind)
    return False


def refusal(model: PreTrainedModel) -> UserError:
    """Return the reason why a model that keeps its hook cannot be a plain folder."""
    hook = pooling.pooling_of(model)
    assert hook is not None, "a model without the hook is plain"
    rule = f"no class of transformers gives the head of a {model.config.model_type} {POOLED[hook.kind]}"
    advice = "use --to onnx, which holds the pooling, or add --custom-code for a folder with Python code of its own"
    return UserError.of("--to", f"needs a plain folder, but model.pooling is {hook.kind}, and {rule}; {advice}")


def _alike(expected: Scores, found: Scores) -> bool:
    slack = RATES["float32"] * max(1.0, float(np.abs(expected).max()))
    return expected.shape == found.shape and bool(np.abs(expected - found).max() <= slack)
