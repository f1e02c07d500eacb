"""Plan → trial records: the ask / train / tell loop over Optuna."""
