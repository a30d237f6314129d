"""What heads read and write: soft term frequency, attention, and the maps of their weights."""
