"""Two pairs of unequal length, and the same with another word."""

from crosslens import Contrast, CrossEncoder


QUERY = "why do cats purr"
BASE = ("the engine of a car rest", "a car in the town and the bark of a dog by the river")


def one_word(model: CrossEncoder) -> Contrast:
    """Documents that speak of a car, and of a python, in float64."""
    model.double()
    texts = [text.replace("car", "python") for text in BASE]
    query = [QUERY] * len(BASE)
    return Contrast.between(model.pairs(query, BASE), model.pairs(query, texts), "one word")
