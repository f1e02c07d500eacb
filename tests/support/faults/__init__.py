"""Studies in processes that are killed at random moments, and checks of what is left."""
