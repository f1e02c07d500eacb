"""Hyperparameter search for parameter-efficient text classification."""
