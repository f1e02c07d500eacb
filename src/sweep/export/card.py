"""The card of an export: that of the winner, with another way to load it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment

from sweep.data.prompt import Prompt
from sweep.export import onnx_file
from sweep.export.job import Job
from sweep.export.record import Export
from sweep.model import card as cards
from sweep.model import markdown
from sweep.model.card import Loading
from sweep.model.manifest import Manifest


def write_merged(job: Job, folder: Path, manifest: Manifest, export: Export, *, arguments: str, code: str) -> None:
    """Write the card of a folder of transformers. `manifest` is that of the folder; `arguments`
    are those of the pipeline, as they are typed behind its first ones; `code` is the name of the
    file with Python code, empty without one."""
    text = _rendered("merged.md.j2", job, export, arguments=arguments, code=code, input=_pipeline_input(job))
    _write(job, folder, manifest, Loading("transformers", pipeline=True, text=text))


def write_onnx(job: Job, folder: Path, export: Export, *, inputs: onnx_file.Inputs, prompt: Prompt | None) -> None:
    """Write the card of a folder with an ONNX file."""
    paired = job.scorer.settings.paired
    text = _rendered(
        "onnx.md.j2", job, export, inputs=inputs.names, fixed=inputs.fixed, prompt=prompt, opset=onnx_file.OPSET,
        input='["your text"], ["its pair"]' if paired else '["your text"]',
        filled='text=text, text_pair="its pair"' if paired else "text=text",
        template=prompt.template if prompt else "",
    )  # fmt: skip
    _write(job, folder, job.manifest, Loading("onnx", pipeline=prompt is None, text=text))


def _write(job: Job, folder: Path, manifest: Manifest, loading: Loading) -> None:
    record = job.winner.record
    metrics = {**record.validation, **record.tuned, **record.test}
    made = cards.card(record.config, manifest, metrics, record.refit, loading=loading)
    (folder / cards.FILE).write_text(str(made), encoding="utf-8")


def _rendered(file: str, job: Job, export: Export, **values: object) -> str:
    labels = job.manifest.labels
    return _environment().get_template(file).render(
        values, study=export.study, rows=export.rows, max_length=job.manifest.max_length,
        multi_label=labels.task == "multi_label", labels=labels.names, thresholds=job.manifest.thresholds or (),
        calibrated=job.manifest.temperature is not None,
    )  # fmt: skip


def _pipeline_input(job: Job) -> str:
    return '{"text": "your text", "text_pair": "its pair"}' if job.scorer.settings.paired else '"your text"'


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = markdown.environment(Path(__file__).parent / "templates")
    made.filters["repr"] = repr
    return made
