"""What to do to a model: every technique is a function that returns a frozen `Hook`.

    with model.hooked(patch(head(3, 7), cache), ablate(neuron(5, 12))):
        scores = model(pairs)

A hook holds no model and changes no weight. It edits a copy of what passes its unit, for as
long as it is attached, and gradients flow through it.
"""

from .ablate import position_mean_of
from .edit import (
    edit_coordinate,
    edit_rows,
    move_rows,
    scale_coordinate,
    scale_rows,
    Singular as Singular,
    singular_vectors,
)
from .named import named, named_in
from .named_values import (
    Ablate as Ablate,
    EditWords as EditWords,
    Intervention as Intervention,
    Mask as Mask,
    Noise as Noise,
)
from .word_edits import edit_words


__all__ = [
    "edit_coordinate",
    "edit_rows",
    "edit_words",
    "move_rows",
    "named",
    "named_in",
    "position_mean_of",
    "scale_coordinate",
    "scale_rows",
    "singular_vectors",
]
