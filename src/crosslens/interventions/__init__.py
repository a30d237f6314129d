"""What to do to a model: every technique is a function that returns a frozen `Hook`.

    with model.hooked(patch(head(3, 7), cache), ablate(neuron(5, 12))):
        scores = model(pairs)

A hook holds no model and changes no weight. It edits a copy of what passes its unit, for as
long as it is attached, and gradients flow through it.
"""
