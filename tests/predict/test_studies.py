"""The winner of a real study of each kind gives the predictions that the study recorded."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from support.winners import KINDS, finished
from sweep.cli.predict import main

pytestmark = pytest.mark.slow


def recorded(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "final" / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def reproduces(run_dir: Path, folder: Path, *options: str) -> None:
    """Check the command on the test rows of the study, as they are stored."""
    out = folder / "out.csv"
    main([str(run_dir), str(run_dir.parent / "data" / "test.csv"), "--out", str(out), "--prefix", "p_", *options])
    with out.open(newline="") as file:
        found = list(csv.DictReader(file))
    expected = recorded(run_dir)
    assert [row["text"] for row in found] == [row["text"] for row in expected]
    assert [row["p_label"] for row in found] == [row["predicted"] for row in expected]
    assert [float(row["p_probability"]) for row in found] == pytest.approx(
        [float(row["confidence"]) for row in expected], abs=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_predictions_of_the_study_are_reproduced(kind: str, tmp_path: Path) -> None:
    run_dir = finished(tmp_path, kind)
    if kind != "compared":
        reproduces(run_dir, tmp_path)
        return
    with pytest.raises(SystemExit):
        main([str(run_dir), str(tmp_path / "data" / "test.csv")])
    (other,) = (path.name for path in (run_dir / "methods").iterdir())
    reproduces(run_dir, tmp_path, "--choice", "lora" if other == "head" else "head")
