"""The winner of a finished study, used on new texts: `sweep.load` and `sweep predict`."""
