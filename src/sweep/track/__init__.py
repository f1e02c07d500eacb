"""Trackers of trials: the `Tracker` protocol, W&B and its mock, MLflow, TensorBoard,
nothing, and the user's own."""
