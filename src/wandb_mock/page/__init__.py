"""The pages of the server: all projects, one project, one run."""

from wandb_mock.page.document import POLICY, render

__all__ = ["POLICY", "render"]
