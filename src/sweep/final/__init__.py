"""What happens once the search is over: the choice confirmed, the winner retrained, the test split read once."""
