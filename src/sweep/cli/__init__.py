"""What `sweep NAME …` does beside a search. Never imports torch."""
