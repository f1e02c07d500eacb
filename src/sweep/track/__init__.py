"""Where trials are watched: the `Tracker` protocol, W&B, MLflow, TensorBoard, nothing, and the user's own."""
