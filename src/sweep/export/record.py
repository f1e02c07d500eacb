"""The record of an export: export.json, and the lines that the user sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from sweep.config.schema import Task
from sweep.errors import shortened
from sweep.export.comparison import Comparison, changes
from sweep.export.rows import CheckRows
from sweep.provenance import now

FILE = "export.json"
_PACKAGES = ("sweep", "torch", "transformers", "tokenizers", "peft", "onnx", "onnxscript", "onnxruntime")
_NAMED = 5  # changed decisions that are printed; the file has all
_SHOWN = 60  # characters of a text


@dataclass(frozen=True, slots=True)
class Export:
    """The record of an export: its form, and the distance of its logits from others.

    `study` compares with the winner as the study computed it, in `study.precision`; `same` with
    its unmerged weights in float32, and is None for an adapter. `thresholds` are those from which
    each label of a multi-label task applies. Logits are divided by `temperature`, in the files too
    unless they are an adapter; None where the winner was not calibrated. `form` is adapter, merged
    or onnx; `opset` is that of an ONNX file.
    """

    form: str
    study_name: str
    trial: int
    method: str
    task: Task
    labels: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    max_length: int
    rows: int
    validation_rows: int
    study: Comparison
    same: Comparison | None
    note: str = ""
    opset: int | None = None
    temperature: float | None = None


def write(export: Export, folder: Path) -> None:
    """Write export.json, with the present moment and the versions of the libraries."""
    values = {"schema_version": 1, "created": now(), **asdict(export), "versions": _versions()}
    (folder / FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def lines(export: Export, sample: CheckRows) -> Iterator[str]:
    """Yield the lines on the check."""
    study = export.study
    yield (
        f"Checked   on {export.rows:,} of {export.validation_rows:,} validation rows: logits differ from those of the study by at "
        f"most {study.difference:.2g} (tolerance {study.tolerance:.2g}), {changes(study)}"
    )
    if export.note:
        yield f"          {export.note}"
    if study.precision != "float32" and export.same is not None:
        yield (
            f"          the study computed in {study.precision}, the export computes in float32; from the same weights in float32 "
            f"its logits differ by at most {export.same.difference:.2g}, {changes(export.same)}"
        )
    texts = dict(zip(sample.indices, sample.rows.texts, strict=True))
    for change in study.changed[:_NAMED]:
        text = shortened(texts[change.row], _SHOWN)
        yield f"          row {change.row} of validation: {change.study or 'no label'} → {change.export or 'no label'}  {text!r}"
    if len(study.changed) > _NAMED:
        yield f"          and {len(study.changed) - _NAMED} more, in {FILE}"


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
