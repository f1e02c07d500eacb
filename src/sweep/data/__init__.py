"""The data of an experiment: sources, labels, splits, subsampling, tokenising and collating."""
