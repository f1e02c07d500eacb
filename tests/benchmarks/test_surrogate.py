"""Predicted points of a recorded table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.curves import Curve
from benchmarks.five_knob_tables import read
from benchmarks.surrogate import Surrogate, surrogate

TABLE = read("banking77_quickstart")
SHORT = replace(TABLE, curves=TABLE.curves[:12])


@pytest.mark.slow
def test_the_predicted_points_have_the_evaluations_of_real_ones() -> None:
    found = surrogate(SHORT, points=5)
    assert len(found.curves) == 5 and found.at[-1] == max(curve.at[-1] for curve in found.curves)
    for curve in found.curves:
        like = next((one for one in TABLE.curves if _kind(one) == _kind(curve)), None)
        assert like is None or (curve.at, curve.steps[-1]) == (like.at, like.steps[-1])
        assert all(TABLE.space[key].domain.contains(value) for key, value in curve.params.items())
        assert len(curve.scores) == len(curve.losses) == len(curve.at)


@pytest.mark.slow
def test_a_recorded_point_is_predicted_as_it_was() -> None:
    model = Surrogate(SHORT)
    for curve in SHORT.curves[:3]:
        assert model.curve(curve.params).scores[-1] == pytest.approx(curve.scores[-1], abs=0.03)


def _kind(curve: Curve) -> tuple[object, ...]:
    return curve.params["trainer.per_device_train_batch_size"], curve.params["trainer.num_train_epochs"]
