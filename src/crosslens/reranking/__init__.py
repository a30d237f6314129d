"""Rankings by a model, as it is or under interventions: in memory, or part by part into a run."""
