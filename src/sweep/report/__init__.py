"""Analysis → report.md, report.html, figures and the lines of the terminal: templates and
pictures. Never imports torch."""
