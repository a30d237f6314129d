"""A model over many pairs: those of like length together, and fewer where memory has run out.

    scores_of(model, pairs)                     the scores (`crosslens.words` has it too)
    recorded(model, pairs, sites)               what sites hold, and the scores
    in_batches(model, pairs, "head pair", run)  what `run` makes of some pairs, put together
    by_like_length(run, pairs)                  what `run` makes of each batch, as it comes
    by_length(run, pairs, at_once)              the same, with batches of a size that is given
    BatchSize(n).batches(run, items)            the same of any items, such as texts

What memory a device has decides how many pairs run together and nothing else: numbers are the same
but for the rounding of another batch size.
"""

from .batch_size import BatchSize, DoesNotFit
from .batches import by_length, by_like_length, scores_of as scores_of
from .in_batches import in_batches
from .recorded import recorded


__all__ = [
    "BatchSize",
    "by_length",
    "by_like_length",
    "DoesNotFit",
    "in_batches",
    "recorded",
]
