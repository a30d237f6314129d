"""IR's own quantities, no model anywhere: how often terms occur, and what BM25 makes of it."""
