"""The packed engine: one frozen base trains many trials at once, each with its own adapter."""
