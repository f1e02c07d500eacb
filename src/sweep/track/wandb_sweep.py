"""The W&B sweep of a study: its trials on a Sweeps page, while Optuna chooses the values."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

import wandb

from sweep.config.schema import TrackerConfig
from sweep.track.dashboard_ids import DashboardIds
from sweep.track.patience import LONGER
from sweep.track.wandb_run import error_text
from sweep.track.wandb_server import WandbServer

KIND = "sweep"
_BEGUN = "sweep_begun"  # the kind of the mark by which a sweep is found whose id was not noted
# In the error of the client for a sweep that the server does not have.
_GONE = "Could not find sweep"
# Seconds for an answer of the server.
_ANSWER = 15
_PAGE = 100  # sweeps in an answer
# The client writes the place of a sweep here, for agents that the process may start.
_PLACE = ("WANDB_ENTITY", "WANDB_PROJECT")


class StudySweep:
    """Makes the sweep, or takes up the one that an earlier process made. `config` is that of the
    sweep (`sweep_config`); None makes no sweep.

    A server that refuses it, or takes too long, costs one line: the runs are then in no sweep.
    """

    def __init__(
        self, config: dict[str, Any] | None, tracker: TrackerConfig, ids: DashboardIds, server: WandbServer
    ) -> None:
        self._config = config
        self._tracker = tracker
        self._ids = ids
        self._server = server
        self._id: str | None = None if config else ""
        self._finished = Event()  # clear while the end of the sweep is on its way
        self._finished.set()

    def join(self, settings: wandb.Settings) -> None:
        """Put a run that is about to start on the server into the sweep."""
        if self._id is None:
            self._id = self._opened()
        if self._id:
            settings.sweep_id = self._id

    def join_offline(self, settings: wandb.Settings) -> None:
        """Put a run that is about to start offline into the sweep, where there is one: the server
        may have gone away in the middle of the study."""
        if known := self._known:
            settings.sweep_id = known

    def finish(self) -> None:
        """Begin to mark the sweep as finished, also where an earlier process made it. A server
        that cannot do that costs nothing."""
        if (known := self._known) and self._server.account is not None:
            self._finished.clear()
            Thread(target=self._finish, args=(known,), daemon=True, name="the end of the sweep").start()

    def settle(self) -> None:
        """Wait for what `finish` began, for the usual time of a working server."""
        self._server.patience.wait(self._finished, self._server.patience.usual)

    @property
    def _known(self) -> str:
        """Return the id of the sweep that this process or an earlier one made; empty without."""
        return self._id or (self._ids.read().get(KIND, "") if self._config else "")

    def _finish(self, known: str) -> None:
        try:
            with suppress(Exception):
                set_state(self._api(), known, "FINISHED")
        finally:
            self._finished.set()

    def _opened(self) -> str:
        """Return the id of the sweep; empty where there is none in time."""
        done, found = Event(), list[str]()

        def work() -> None:
            try:
                found.append(self._taken_up() or self._unnoted() or self._made())
            except Exception as error:  # see `WandbRun.attempt`
                self._tell(error_text(error, None))
                found.append("")
            finally:
                done.set()

        Thread(target=work, daemon=True, name="the study's sweep").start()
        # Once in a study, and the client loads a part of itself for it.
        if not self._server.patience.wait(done, self._server.patience.usual + LONGER):
            self._tell("it does not answer in time")
        return found[0] if found else ""

    def _taken_up(self) -> str:
        """Return the id of the sweep that an earlier process made, running again; empty where the
        server has it no more."""
        known = self._ids.read().get(KIND, "")
        if not known:
            return ""
        api = self._api()
        try:
            state = api.sweep(_path(api, known)).state  # type: ignore[no-untyped-call]
        except (ValueError, wandb.errors.CommError) as error:
            if _GONE not in str(error):  # the server fails: another sweep would be a second one
                raise
            return ""
        if state.upper() == "FINISHED":
            set_state(api, known, "RUNNING")
        return known

    def _unnoted(self) -> str:
        """Return the id of the sweep that an earlier process made before it was killed, without
        noting it; empty where there is none."""
        known = self._ids.read()
        mark = known.get(_BEGUN, "")
        found = _described(self._api(), mark) if mark and not known.get(KIND) else ""
        if found:
            self._ids.note({KIND: found})
        return found

    def _made(self) -> str:
        """Return the id of a new sweep. The server chooses it, so that its description has a mark,
        which is noted before."""
        assert self._config is not None
        mark = f"Mark {secrets.token_hex(6)}."
        self._ids.note({_BEGUN: mark, KIND: ""})
        made = make_sweep(self._api(), {**self._config, "description": f"{self._config['description']} {mark}"})
        self._ids.note({KIND: made})
        return made

    def _api(self) -> wandb.Api:
        account = self._server.account
        return public_api(self._server.base_url, account.api_key if account else None, self._tracker)

    def _tell(self, reason: str) -> None:
        self._server.tell(f"W&B at {self._server.base_url} takes no sweep ({reason}): the study has no Sweeps page.")


def public_api(base_url: str, api_key: str | None, tracker: TrackerConfig) -> wandb.Api:
    """Return the client for questions about the project of `tracker`."""
    place = {"base_url": base_url, "project": tracker.project, "entity": tracker.entity}
    return wandb.Api(overrides={name: one for name, one in place.items() if one}, timeout=_ANSWER, api_key=api_key)


def make_sweep(api: wandb.Api, config: dict[str, Any], *, earlier: list[str] | None = None) -> str:
    """Make a sweep in the project of `api`, and return its id. The runs `earlier`, by id, join it.

    `wandb.sweep` would print to the terminal, and takes the account from the environment alone.
    """
    from wandb.apis.public.sweeps import _upsert_sweep

    with _place_kept():
        made, _ = _upsert_sweep(api, config, prior_runs=earlier, display_name=config["name"])
    return str(made["name"])


def _described(api: wandb.Api, mark: str) -> str:
    """Return the id of the sweep in the project of `api` whose description has this mark; empty
    where there is none.

    The pages are read without the client's `Sweep`, which asks for each sweep by itself.
    """
    sweeps = api.project(api.settings["project"]).sweeps(per_page=_PAGE)
    while sweeps.more:
        sweeps.update_variables()
        sweeps._update_response()
        project = sweeps.last_response and sweeps.last_response.project
        if not project or not project.sweeps:
            return ""
        for edge in project.sweeps.edges:
            if mark in (edge.node.description or ""):
                return edge.node.name
    return ""


def set_state(api: wandb.Api, sweep_id: str, state: str) -> None:
    """Set the state of a sweep in the project of `api`: RUNNING or FINISHED."""
    from wandb.apis.public.sweeps import _set_sweep_state

    entity = api.settings["entity"] or api.default_entity
    _set_sweep_state(api, sweep_id, state, entity=entity)  # type: ignore[arg-type]


def _path(api: wandb.Api, sweep_id: str) -> str:
    return f"{api.settings['entity'] or api.default_entity}/{api.settings['project']}/{sweep_id}"


@contextmanager
def _place_kept() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _PLACE}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
