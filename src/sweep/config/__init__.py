"""The config of an experiment: schema, composition by Hydra, and search space."""
