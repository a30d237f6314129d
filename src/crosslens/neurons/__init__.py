"""Neurons: the outputs of a model's linear maps, how much of the score flows through each, and
what goes when some are silenced."""
