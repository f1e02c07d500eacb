"""Links of artifacts to the collections of a registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from wandb_mock.disk import Disk, write_json
from wandb_mock.records import Artifact, Link

Home = tuple[str, str, str]


class Links:
    """The members of all collections of registries, in one file."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._links: list[Link] = []

    def add(self, link: Link) -> None:
        """Add a link that an earlier server kept."""
        self._links.append(link)

    def link(self, artifact: Artifact, home: Home, aliases: Sequence[str]) -> Link:
        """Return the link of a version to a collection, made where there was none. Its aliases and
        `latest` are taken from the other members."""
        members = self.of_collection(home)
        link = next((one for one in members if one.artifact_id == artifact.id), None)
        if link is None:
            link = Link(*home, version=len(members), artifact_id=artifact.id)
            self._links.append(link)
        moved = {"latest", *aliases}
        for other in members:
            other.aliases = [alias for alias in other.aliases if alias not in moved]
        link.aliases = sorted(moved.union(link.aliases))
        write_json(self._disk.links, [asdict(one) for one in self._links])
        return link

    def of_collection(self, home: Home) -> list[Link]:
        """Return the members of a collection, oldest first."""
        return [one for one in self._links if one.home == home]

    def of_artifact(self, artifact: Artifact) -> list[Link]:
        """Return the links of a version, oldest first."""
        return [one for one in self._links if one.artifact_id == artifact.id]

    def by_name(self, entity: str, project: str, name: str) -> Link | None:
        """Return the member that `COLLECTION`, `COLLECTION:v3` or `COLLECTION:ALIAS` names, None
        where there is none."""
        collection, _, alias = name.partition(":")
        alias = alias or "latest"
        members = self.of_collection((entity, project, collection))
        return next((one for one in members if alias in (f"v{one.version}", *one.aliases)), None)

    def projects(self) -> set[tuple[str, str]]:
        """Return the entity and the name of each registry."""
        return {(one.entity, one.project) for one in self._links}
