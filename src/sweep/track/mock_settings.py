"""The settings of `tracker=mock`, and the folder of its server. Imports no client."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sweep.config.schema import Section, TrackerConfig

# Where the server keeps what it receives, in the run directory.
FOLDER = "wandb-mock"


class MockSettings(Section):
    """The keys of `tracker=mock` beside those of W&B."""

    port: Annotated[int, Field(ge=0, le=65535)] = Field(0, description="of the server; 0 takes a free port")


def mock_settings(tracker: TrackerConfig) -> MockSettings:
    """Return the checked settings. Raises ValidationError where a key is unknown or a value is
    wrong."""
    return MockSettings.model_validate(tracker.model_extra or {})
