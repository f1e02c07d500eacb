"""One trial planned, one outcome: the only room that imports `transformers.Trainer`."""
