"""Records → typed results: frozen dataclasses of numbers and names, without a sentence. Never
imports torch."""
