"""A request for an export, and the checks that need neither torch nor a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from sweep.config.schema import PromptConfig
from sweep.errors import Fault, UserError
from sweep.export.destination import left_over

Form = Literal["merged", "onnx", "hub"]

_ONNX = ("onnx", "onnxscript", "onnxruntime")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FLAGS = ("merged", "public", "replace")


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of `sweep export`.

    `place` is a folder, or OWNER/NAME on the hub; `base` and `data` are the present locations of
    the base and of the data set, where they have moved. `rows` is the number of validation rows of
    the check, and `tolerance` the largest difference in logits; None takes a share of the largest
    logit that depends on the precision of the study.
    """

    form: Form
    place: str
    merged: bool = False
    custom_code: bool = False
    public: bool = False
    replace: bool = False
    rows: int = 128
    tolerance: float | None = None
    base: str | None = None
    data: str | None = None

    @property
    def weights(self) -> Literal["adapter", "merged", "onnx"]:
        """Return the form of the weights."""
        if self.form == "hub":
            return "merged" if self.merged else "adapter"
        return self.form


def check(request: Request, prompt: PromptConfig | None) -> None:
    """Check what can be known before a model is loaded; `prompt` is that of the winner.

    Raises UserError with all faults.
    """
    faults = [*_flag_faults(request), *_form_faults(request, prompt)]
    faults += _repository_faults(request.place) if request.form == "hub" else _folder_faults(Path(request.place))
    if faults:
        raise UserError(faults)


def _flag_faults(request: Request) -> Iterator[Fault]:
    for name in _HUB_FLAGS:
        if getattr(request, name) and request.form != "hub":
            yield Fault(f"--{name}", f"is for --to hub, but --to is {request.form}; leave it out")
    if request.custom_code and request.weights != "merged":
        rule = "is for merged weights, --to merged or --to hub --merged"
        yield Fault("--custom-code", f"{rule}, but --to is {request.form}; leave it out")


def _form_faults(request: Request, prompt: PromptConfig | None) -> Iterator[Fault]:
    if request.weights == "onnx" and (lacking := [name for name in _ONNX if find_spec(name) is None]):
        yield Fault("--to", f"is onnx, which needs {', '.join(lacking)}: pip install 'sweep[onnx]'")
    if request.weights == "merged" and prompt is not None:
        rule = "the winner classifies by label words, which no text-classification class of transformers does"
        yield Fault("--to", f"is {request.form}, but {rule}; use --to onnx, or --to hub without --merged")


def _folder_faults(folder: Path) -> Iterator[Fault]:
    name = str(folder)
    if folder.is_file():
        yield Fault(name, "is a file, but must be a new or an empty folder")
    elif folder.is_dir() and set(folder.resolve().iterdir()).difference(left_over(folder)):
        yield Fault(name, "holds files already, which an export would mix with its own; name a new or an empty folder")


def _repository_faults(name: str) -> Iterator[Fault]:
    from sweep.export.hub import access_faults, name_fault

    if not _REPOSITORY.fullmatch(name):
        yield Fault("--to", f"is hub {name}, but must be hub OWNER/NAME, such as hub someone/banking-intents")
    elif rule := name_fault(name):
        yield Fault("--to", f"is hub {name}, but the hub has no such names: {rule}")
    yield from access_faults()
