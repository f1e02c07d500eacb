"""The commands beside a search."""
