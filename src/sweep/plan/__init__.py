"""A command line becomes a checked plan, without weights and without a GPU."""
