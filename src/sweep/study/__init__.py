"""The search: a plan becomes trial records in an ask / train / tell loop over Optuna."""
