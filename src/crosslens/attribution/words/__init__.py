"""Word attributions: a number for every token and word of a pair, and tests of such numbers."""
