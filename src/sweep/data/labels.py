"""What there is to predict."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.config.schema import Task


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Label i of the model is `names[i]`. Labels of a row: an int for single-label, a 0/1 tuple of len(names) for multi-label."""

    task: Task
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def problem_type(self) -> str:
        """The value transformers expects in `config.problem_type`."""
        return "single_label_classification" if self.task == "single_label" else "multi_label_classification"
