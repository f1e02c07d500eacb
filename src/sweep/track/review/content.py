"""The content of a review, as one process passes it to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.track.dashboard_ids import DashboardIds


@dataclass(frozen=True, slots=True)
class SearchedKey:
    """A searched key, where the config of a run has it, and whether its range is logarithmic."""

    key: str
    path: str
    log: bool = False


@dataclass(frozen=True, slots=True)
class Review:
    """All that a view and a report of a study show, and where they go.

    `entity` empty is the default one of the account. `score` is a trial's score in the summary of
    its run. `conclusions` is Markdown. `sweep` is the config of the study's sweep, empty where it
    has none. `ids` are those of an earlier review, and `kept` is where new ones are noted at once,
    so that a process which is killed meanwhile leaves no second view. `model`, `linked_to` and
    `aliases` are of the winner's model and of the registry to which it is linked; empty without
    one.
    """

    study: str
    project: str
    metric: str
    score: str
    maximize: bool
    searched: tuple[SearchedKey, ...]
    conclusions: str
    entity: str = ""
    sweep: Mapping[str, Any] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    kept: DashboardIds | None = None
    model: str = ""
    linked_to: str = ""
    aliases: tuple[str, ...] = ()
    second: str = ""  # a second objective
    second_score: str = ""  # and its value in the summary of a trial's run


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a review: the addresses of what was written, by name, and `ids` for the next
    review. `notes` name each part that the server refused. `fault` says why nothing could be
    written; `never_arrived` that the server has no run of the study."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fault: str = ""
    never_arrived: bool = False
