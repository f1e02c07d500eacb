"""Dataset config → `Splits`, then tokens and batches."""
