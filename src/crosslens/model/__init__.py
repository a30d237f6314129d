"""The hooked transformer: its forward pass is the list of sites."""
