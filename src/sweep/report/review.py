"""A run directory → the review of its study on W&B, and where it is written."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.analysis.facts import read
from sweep.analysis.study import analyse
from sweep.config.schema import Config, TrackerConfig
from sweep.config.secrets import scrub, scrub_typed
from sweep.errors import first_line
from sweep.records.store import Store
from sweep.report.environment import render
from sweep.track.credentials import Account, read_client
from sweep.track.dashboard_ids import DashboardIds
from sweep.track.environment import resolved
from sweep.track.mode import each, find_mode
from sweep.track.patience import Stop
from sweep.track.review.content import Review, SearchedKey, Written
from sweep.track.review.process import written
from sweep.track.several import SeveralTrackers
from sweep.track.tracker import SECOND_VALUE, Tracker
from sweep.track.wandb_names import model_aliases, model_name, place_at, registry_path
from sweep.track.wandb_search_space import config_path, score_of, sweep_config

if TYPE_CHECKING:
    from sweep.track.wandb_server import WandbServer

# Seconds that a review may take at the end of a study.
_AT_END = 60.0


def wandb_tracker(config: Config) -> TrackerConfig | None:
    """Return the settings of the W&B tracker or its mock among those of a config, with the project
    and the entity of the environment; None where it has neither."""
    ours = (one for _, one in each(config.tracker) if one.target is None and one.name in ("wandb", "mock"))
    found = next((one for one in ours if one.mode != "disabled"), None)
    return found and resolved(found)


def write_review(
    store: Store, tracker: TrackerConfig, account: Account, base_url: str, *, seconds: float, stop: Stop | None = None
) -> Written:
    """Write or renew the view and the report of a study on W&B, and note their ids in the run
    directory. Return what was written, or why not. `stop` ends it at once.

    Raises UserError where the folder is no run directory.
    """
    tracker = _placed(store, tracker)
    ids = DashboardIds.of(store.root.resolve(), base_url, tracker)
    found = written(review_of(store, tracker, ids), account, base_url, seconds=seconds, stop=stop)
    try:
        if found.ids:
            ids.note(found.ids)
    except OSError as error:
        lost = f"their ids cannot be kept ({first_line(error)}), and the next review makes new ones"
        return replace(found, notes=(*found.notes, lost))
    return found


def _placed(store: Store, tracker: TrackerConfig) -> TrackerConfig:
    """Return the settings with the entity and the project in which the study's run is, where it is
    on a server: the environment may have changed since."""
    place = place_at(store.study_address())
    return tracker if place is None else tracker.model_copy(update={"entity": place[0], "project": place[1]})


def review_of(store: Store, tracker: TrackerConfig, ids: DashboardIds) -> Review:
    """Return the review of a study as it is now."""
    facts = read(store)
    lock, study = store.lock(), facts.config.study
    space = lock.space if lock else {}
    with_model = facts.final is not None and tracker.registry
    return Review(
        study=scrub_typed(study.study_name),
        project=tracker.project or "",
        entity=tracker.entity or "",
        metric=study.metric,
        score=score_of(study),
        maximize=study.objective.maximize,
        searched=tuple(SearchedKey(key, config_path(key), bool(domain.get("log"))) for key, domain in space.items()),
        conclusions=scrub(
            render("study/review.md.j2", study=analyse(facts), drawn=frozenset(), undrawn="", written=None)
        ),
        sweep=sweep_config(study, space) if space and tracker.sweep else {},
        ids=ids.read(),
        kept=ids,
        model=model_name(study) if with_model else "",
        linked_to=registry_path(study, tracker.registry) if tracker.registry else "",
        aliases=tuple(model_aliases(study)[1:]),
        second=study.second_metric or "",
        second_score=SECOND_VALUE,
    )


def lines(found: Written) -> Iterator[str]:
    """Yield what a review has written, for the terminal."""
    titles = {"workspace": "Workspace", "report": "Report", "sweep": "Sweep", "registry": "Registry"}
    for what, title in titles.items():
        if address := found.addresses.get(what):
            yield f"{title:<10}{address}"
    yield from (f"W&B: {note}" for note in found.notes)


def at_end(store: Store, config: Config, tracker: Tracker) -> Iterator[str]:
    """Write the review of a study that ends, where `tracker.review` asks for it, and yield lines
    for the user. A server that refuses it costs one line."""
    settings = wandb_tracker(config)
    if settings is None or not settings.review:
        return
    later = f"sweep review {shlex.quote(str(store.root))}"
    connection = _connection(tracker)
    if connection is None:
        mode = find_mode(settings, read_client())
        reason = f"W&B is disabled ({mode.source})" if mode.name == "disabled" else "the tracker failed"
        yield f"W&B: no workspace and report, since {reason}"
        return
    if connection.account is None:
        yield f"W&B: no workspace and report of a study that is kept offline; after `wandb sync`: {later}"
        return
    found = write_review(
        store, settings, connection.account, connection.base_url, seconds=_AT_END, stop=connection.patience.stop
    )
    yield from lines(found)
    if found.fault:
        yield f"W&B: no workspace and report ({found.fault}); to write them later: {later}"


def _connection(tracker: Tracker) -> WandbServer | None:
    from sweep.track.wandb_tracker import WandbTracker

    trackers = tracker.trackers if isinstance(tracker, SeveralTrackers) else [tracker]
    return next((one.connection for one in trackers if isinstance(one, WandbTracker)), None)
