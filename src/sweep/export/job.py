"""An export that is made: the winner, the rows of its check, and the logits to compare with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from sweep.engine.metrics import Scores
from sweep.export import onnx_file, plain
from sweep.export.comparison import Comparison, compare
from sweep.export.record import Export
from sweep.export.request import Request
from sweep.export.rows import CheckRows, check_rows
from sweep.export.scores import Scorer, precision, prompted
from sweep.model import artifact
from sweep.model.base_model_cache import pick_device
from sweep.model.manifest import Manifest
from sweep.records.winner import Winner


@dataclass(frozen=True, slots=True)
class Job:
    """The winner with its manifest, the request, and the rows of the check with their scorer."""

    winner: Winner
    manifest: Manifest
    request: Request
    sample: CheckRows
    scorer: Scorer

    @classmethod
    def of(cls, winner: Winner, manifest: Manifest, request: Request) -> Job:
        """Return the job, with its rows and tokenizer. Raises UserError where they cannot be
        had."""
        sample = check_rows(winner, request.rows, request.data)
        tokenizer = artifact.load_tokenizer(manifest, winner.model)
        return cls(winner, manifest, request, sample, Scorer.of(winner, manifest, tokenizer, sample.rows))

    @property
    def batch_size(self) -> int:
        """Return the rows of a batch in the evaluations of the study."""
        return self.scorer.settings.trainer.per_device_eval_batch_size

    @property
    def mergeable(self) -> bool:
        """Return whether the weights can be merged, or are without an adapter anyway."""
        return self.manifest.trained != "adapter" or not plain.unmergeable(self.winner.record.config.adapter)

    def widened(self) -> tuple[nn.Module, Scores]:
        """Return the unmerged model in float32, and its logits."""
        model = plain.widened(self.winner.model, self.manifest, self.request.base)
        return model, self.scorer.plain(prompted(model, self.manifest, self.scorer.tokenizer))

    def compared(self, scores: Scores, same: Scores | None) -> Export:
        """Return the record of an export with these logits, (rows, labels); `same` are those of
        the unmerged weights in float32, None where the export holds these."""
        record, manifest = self.winner.record, self.manifest
        return Export(
            form=self.request.weights,
            study_name=self.winner.lock.config.study.study_name,
            trial=record.number,
            method=record.config.adapter.label,
            task=manifest.labels.task,
            labels=manifest.labels.names,
            thresholds=manifest.thresholds,
            max_length=manifest.max_length,
            rows=len(self.sample.rows),
            validation_rows=self.sample.total,
            study=self._compared(self._study(), scores, precision(self.scorer.settings, manifest)),
            same=None if same is None else self._compared(same, scores, "float32"),
            note=self.sample.note,
            temperature=manifest.temperature,
            opset=onnx_file.OPSET if self.request.weights == "onnx" else None,
        )

    def _compared(self, others: Scores, scores: Scores, kind: str) -> Comparison:
        return compare(
            others, scores, labels=self.manifest.labels, thresholds=self.manifest.thresholds,
            indices=self.sample.indices, precision=kind, tolerance=self.request.tolerance,
        )  # fmt: skip

    def _study(self) -> Scores:
        """Return the logits of the winner as the study computes them."""
        device = "cpu" if self.scorer.settings.trainer.device == "cpu" else "auto"
        model, _ = artifact.load(self.winner.model, str(pick_device(device)), base=self.request.base)
        return self.scorer.study(model)
