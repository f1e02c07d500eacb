"""The config of the launcher."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sweep.config.section import Seconds, Section


class LauncherConfig(Section):
    """Where the engines run that train the trials.

    A worker is a process with an engine of its own, on one GPU or on a part of a machine's cores.
    """

    name: Literal["inline", "local", "ray"] = Field(
        "inline", description="inline: this process; local: workers on this machine; ray: workers on a Ray cluster"
    )
    workers: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="with local: how many; null is one a GPU, or one where trials train on the CPU"
    )
    address: str | None = Field(None, description="with ray: HOST:PORT of the head of the cluster")
    node_ip_address: str | None = Field(
        None, description="with ray: the address of this machine in the cluster; null lets Ray find it"
    )
    cpus_per_worker: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="with ray, where trials train on the CPU: cores of a worker; null is all cores of a node"
    )
    wait: Seconds = Field(
        120, description="seconds for the first worker to come, and for another after the last has gone"
    )
