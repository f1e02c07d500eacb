"""A mock W&B backend on loopback that the unchanged wandb client streams to and reads from."""

from sweep.track.mock.backend import Backend
from sweep.track.mock.server import MockServer

__all__ = ["Backend", "MockServer"]
