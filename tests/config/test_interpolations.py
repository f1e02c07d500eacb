from __future__ import annotations

from pathlib import Path

import pytest

from sweep.config.compose import Composer
from sweep.config.interpolations import hazard
from sweep.errors import UserError

TEN = 10
WRITTEN = {
    "by the whole key": lambda n: f"${{study.sampler_options.a{n}}}" * TEN,
    "by a key beside it": lambda n: f"${{.a{n}}}" * TEN,
    "as a list": lambda n: [f"${{study.sampler_options.a{n}}}"] * TEN,
    "as a mapping": lambda n: {f"k{i}": f"${{study.sampler_options.a{n}}}" for i in range(TEN)},
    "through a resolver": lambda n: f"${{oc.select:study.sampler_options.a{n},0}}" * TEN,
    "by a name made of interpolations": lambda n: f"${{study.${{study.sampler_options.k}}.a{n}}}" * TEN,
}


@pytest.mark.parametrize("how", WRITTEN)
def test_interpolations_that_multiply_are_refused_before_they_are_filled_in(tmp_path: Path, how: str) -> None:
    lines = [f"    a{n}: {WRITTEN[how](n - 1)!r}" for n in range(1, TEN)]
    text = "\n".join(
        ["# @package _global_", "study:", "  sampler_options:", "    a0: x", "    k: sampler_options", *lines]
    )
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        Composer((tmp_path,)).compose(["+experiment=mine"])
    (fault,) = caught.value.faults
    assert fault.path.startswith("study.sampler_options.a") and "more than 65,536 characters" in fault.message


@pytest.mark.parametrize(
    "tree",
    [
        {"a": "${b}", "b": "${a}"},
        {"a": {"b": "${a}"}},
        {"a": "${nothing}${oc.env:HOME,x} ${", "b": ["}"]},
        {"text": "x" * 10**6, "two": "2"},  # long, and nothing to fill in
        {"names": ["x"] * 100, "first": "${names[0]} ${names.1}"},
    ],
    ids=str,
)
def test_others_are_left_to_omegaconf(tree: dict[str, object]) -> None:
    assert hazard(tree) is None
