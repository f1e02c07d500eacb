"""The records of trials and studies, and the run directory that keeps them."""
