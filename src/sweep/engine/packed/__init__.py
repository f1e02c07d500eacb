"""One frozen base that carries the rows of many trials at once, each with its own adapter."""
