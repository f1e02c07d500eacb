"""The review of a study on W&B: a saved workspace view, a report, and the sweep of a study that
was synced later. `wandb-workspaces` writes them in a process of its own."""
