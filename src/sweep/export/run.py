"""An export, from the winner to a checked folder or a repository of the hub."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.errors import UserError
from sweep.export import hub, plain, record
from sweep.export.comparison import require
from sweep.export.destination import filled
from sweep.export.job import Job
from sweep.export.record import Export
from sweep.export.request import Request
from sweep.export.writers import WRITERS
from sweep.model import artifact
from sweep.model import manifest as manifests
from sweep.model.manifest import Manifest
from sweep.records.winner import Winner


def run(winner: Winner, request: Request) -> None:
    """Export the winner, and print what the check found.

    Raises UserError where that cannot be done, and where logits differ by more than is tolerated.
    Then nothing is left behind.
    """
    manifest = manifests.read(winner.model)
    _check_weights(winner, request, manifest)
    if request.form == "hub":
        hub.check_repository(request.place, replace=request.replace)
    job = Job.of(winner, manifest, request)
    with _target(request) as folder:
        written = WRITERS[request.weights](job, folder)
        export = job.compared(written.scores, written.same)
        _require(export, given=request.tolerance is not None)
        record.write(export, folder)
        written.write_card(export)
        artifact.open_to_others(folder, record.FILE)
        address = _uploaded(job, folder) if request.form == "hub" else ""
    print("\n".join(record.lines(export, job.sample)))
    print(f"Exported  {address or request.place}")
    print(f"Use       {written.use}", flush=True)


def _require(export: Export, *, given: bool) -> None:
    """Raise UserError where logits differ by more than is tolerated."""
    require(export.study, others="that of the study", given=given)
    if export.same is not None:
        require(export.same, others="that of the same weights in float32", given=given)


def _check_weights(winner: Winner, request: Request, manifest: Manifest) -> None:
    """Raise UserError where the weights cannot be merged into a plain folder."""
    if request.weights != "merged":
        return
    if manifest.trained == "adapter" and (reason := plain.unmergeable(winner.record.config.adapter)):
        raise UserError.of("--to", f"needs merged weights, but {reason}; use --to onnx, or --to hub without --merged")
    if manifest.base.trust_remote_code:
        rule = "the base runs Python code of its own (model.trust_remote_code), which a plain folder has not"
        raise UserError.of("--to", f"needs a plain folder, but {rule}; use --to hub without --merged")


@contextmanager
def _target(request: Request) -> Iterator[Path]:
    """Yield the folder to fill: it stays at the user's place, or is deleted after the upload."""
    if request.form != "hub":
        with filled(Path(request.place)) as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="sweep-export-") as temporary:
            yield Path(temporary)


def _uploaded(job: Job, folder: Path) -> str:
    study, number = job.winner.lock.config.study.study_name, job.winner.record.number
    message = f"{job.request.weights} weights of {study}, trial {number}"
    return hub.upload(folder, job.request.place, public=job.request.public, message=message)
