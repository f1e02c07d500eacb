"""Records → tables, figures and the report. Never imports torch."""
