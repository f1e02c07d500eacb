"""Finished runs side by side, on the same test rows, as numbers. Reads run directories alone;
never imports torch."""
