"""`sweep export`: a winner in the forms that others load, each compared with the study's own
logits before it is left where it was asked for."""
