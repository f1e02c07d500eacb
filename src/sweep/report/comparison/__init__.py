"""Finished runs side by side, on the same test rows. Reads run directories alone; never imports
torch."""
