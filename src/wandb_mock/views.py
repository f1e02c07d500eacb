"""Saved workspace views and reports. W&B calls both views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from wandb_mock.disk import Disk, write_json
from wandb_mock.records import View, now


class Views:
    """The views of all projects, each in a file of its own."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._views: dict[str, View] = {}

    def __iter__(self) -> Iterator[View]:
        return iter(self._views.values())

    def add(self, view: View) -> None:
        """Add a view that an earlier server kept."""
        self._views[view.id] = view

    def by_id(self, view_id: str) -> View | None:
        """Return the view with this GraphQL id, None where there is none."""
        return self._views.get(view_id)

    def of(self, entity: str, project: str, *, type: str = "", name: str = "") -> list[View]:
        """Return the views of a project in the order in which they were made, those of a type or
        with a name alone where one is given."""
        kept = [one for one in self._views.values() if (one.entity, one.project) == (entity, project)]
        kept = [one for one in kept if type in ("", one.type) and name in ("", one.name)]
        return sorted(kept, key=lambda one: one.number)

    def new(self, entity: str, project: str) -> View:
        """Return an empty view with a number that no view has. `keep` adds it."""
        number = max((one.number for one in self._views.values()), default=0) + 1
        return View(number, entity, project)

    def keep(self, view: View) -> None:
        """Add a view, or write one that has changed."""
        view.updated_at = now()
        self._views[view.id] = view
        write_json(self._disk.view(view.number), asdict(view))

    def drop(self, view: View) -> None:
        """Delete a view."""
        del self._views[view.id]
        self._disk.view(view.number).unlink(missing_ok=True)
