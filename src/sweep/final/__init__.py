"""The steps after the search: confirm the choice, retrain the winner, read the test split once."""
