"""Where trials are watched: the `Tracker` protocol, W&B, nothing at all, and a mock W&B backend."""
