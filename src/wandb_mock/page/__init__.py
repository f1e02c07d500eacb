"""The pages of the server: all projects, one project, a run, a sweep, a report."""

from wandb_mock.page.document import POLICY, render

__all__ = ["POLICY", "render"]
