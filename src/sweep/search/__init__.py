"""Samplers, pruners and report steps: the parts that Optuna is given."""
