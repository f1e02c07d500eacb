"""What a user may say: the schema, composing it with Hydra, and the search space."""
