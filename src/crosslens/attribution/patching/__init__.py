"""What a unit, patched, restores of a contrast: exactly, in sets, and to first order."""
