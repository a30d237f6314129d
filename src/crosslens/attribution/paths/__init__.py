"""What one part of a model sends another, directly: path patching and the chain it traces."""
