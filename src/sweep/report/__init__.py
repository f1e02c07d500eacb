"""Records → tables, figures, report.md and report.html. Reads the run directory alone; never imports torch."""
