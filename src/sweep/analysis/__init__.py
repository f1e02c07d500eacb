"""Records become typed results: numbers, and no sentence."""
