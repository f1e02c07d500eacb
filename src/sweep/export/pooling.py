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
from sweep.model.account import unwrapped
from sweep.model.architecture import body
from sweep.model.card import POOLED

_SETTING = "classifier_pooling"  # by this name in the configs of transformers that have one
ADVICE = "use --to onnx, which holds the pooling, or add --custom-code"


def plain(model: nn.Module, expected: Scores, score: Callable[[nn.Module], Scores]) -> None:
    """Take the hook of `model.pooling` off a model whose class pools alike by itself, or by a
    setting of its config.

    `expected` are the logits of the check's rows with the hook, and `score` computes those of a
    model. Raises UserError where the class computes others.
    """
    inner = unwrapped(model)
    hook = pooling.pooling_of(inner)
    if hook is None:
        return
    if _complete(inner):
        pooling.remove(inner)
        for setting in _settings(inner):
            setting()
            if _alike(expected, score(model)):
                return
    rule = f"no class of transformers gives the head of a {inner.config.model_type} {POOLED[hook.kind]}"
    raise UserError.of("--to", f"needs a plain folder, but model.pooling is {hook.kind}, and {rule}; {ADVICE}")


def _complete(inner: PreTrainedModel) -> bool:
    """Return whether all modules of the class are there: a pooler that the hook replaces is
    gone."""
    return not isinstance(getattr(inner.get_submodule(body(inner)), "pooler", None), nn.Identity)


def _settings(inner: PreTrainedModel) -> list[Callable[[], None]]:
    """Return changes of the config that may pool alike, the first of which changes nothing."""
    found: list[Callable[[], None]] = [lambda: None]
    if hasattr(inner.config, _SETTING):
        found += [lambda kind=kind: setattr(inner.config, _SETTING, kind) for kind in ("cls", "mean")]  # type: ignore[misc]
    return found


def _alike(expected: Scores, found: Scores) -> bool:
    slack = RATES["float32"] * max(1.0, float(np.abs(expected).max()))
    return bool(np.abs(expected - found).max() <= slack)
