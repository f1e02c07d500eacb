"""Workers of Ray where Ray itself fails."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sweep.launch.ray_team import RayTeam
from sweep.launch.team import Severed

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'sweep[ray]'")
pytestmark = pytest.mark.slow  # importing Ray takes seconds


@pytest.mark.parametrize("error", [BrokenPipeError("Broken pipe"), ray.exceptions.RaySystemError("no socket")])
def test_a_raylet_that_has_ended_ends_the_study_and_not_its_trials(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def wait(*_: Any, **__: Any) -> None:
        raise error

    nothing: Any = None
    team = RayTeam(nothing, nothing, nothing, nothing, 60.0, print, _looked=time.monotonic(), members=[nothing])
    team._pending[object()] = nothing
    monkeypatch.setattr(ray, "wait", wait)
    (event,) = team.events(0.01)
    assert isinstance(event, Severed) and "the raylet" in event.why
