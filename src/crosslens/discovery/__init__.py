"""Discovery: which parts of a model make up a circuit, by every method and at its cost."""
