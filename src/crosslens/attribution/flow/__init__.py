"""What flows through a model: conductance from a baseline, and what noise may take away."""
