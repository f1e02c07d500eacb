"""A mock W&B server on this machine. The unchanged `wandb` client streams to it and reads from
it."""

from wandb_mock.server import MockServer

__all__ = ["MockServer"]
