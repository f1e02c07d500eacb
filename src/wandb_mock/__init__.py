"""A mock W&B backend on loopback that the unchanged wandb client streams to and reads from."""

from wandb_mock.backend import Backend
from wandb_mock.server import MockServer

__all__ = ["Backend", "MockServer"]
