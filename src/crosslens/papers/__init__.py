"""Papers as data: their figures, the analysis that answers each, and what was published."""
