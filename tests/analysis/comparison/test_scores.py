"""The table of scores of a comparison."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweep.analysis.comparison.comparison import Comparison
from sweep.analysis.comparison.scores import overview


def with_first(comparison: Comparison, **sections: Any) -> Comparison:
    """Return the comparison with other sections in the config of the first method's winner."""
    first, *others = comparison.methods
    final = replace(
        first.final, config=first.final.config.model_validate({**first.final.config.model_dump(), **sections})
    )
    return replace(comparison, methods=(replace(first, final=final), *others))


@pytest.mark.parametrize(
    ("sections", "better"),
    [
        ({}, ("lower", "lower")),
        ({"trainer": {"focal_gamma": 2.0}}, ("", "lower")),
        ({"trainer": {"label_smoothing_factor": 0.1}}, ("", "lower")),
        ({"prompt": {"template": "{text}"}}, ("", "")),
    ],
    ids=str,
)
def test_losses_of_different_kinds_have_no_best(
    comparison: Comparison, sections: dict[str, Any], better: tuple[str, str]
) -> None:
    columns = {column.title: column for column in overview(with_first(comparison, **sections)).columns}
    assert (columns["train/loss"].better, columns["test/loss"].better) == better
    assert columns["test/accuracy"].better == "higher"
