"""Dataset config → `Splits`: sources, label order, splits, subsampling; then tokenising and collating."""
