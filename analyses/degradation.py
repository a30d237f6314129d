"""Which word attribution finds the words that a prediction stands on?

Of a relevant pair the tokens with the largest attribution are deleted, a ninth at a time. The
better an attribution, the faster the probability of relevance falls. Random order is the control;
exact removal of single words is there to show what the cheaper methods miss.
Jiang et al. (2021), section 4.1, Fig. 1a.
"""

from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

from crosslens import NotMeasurable, Pairs
from crosslens.frames import Frame
from crosslens.words import Degradation, degradation, method, WordAttribution

from .option_types import Beta, Layer, NoiseLike
from .passed import Passing
from .running import Given, main
from .samples import relevant_pairs, slices


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 10
    methods: Annotated[
        list[str], "A word attribution by name, as often as you like; see crosslens.words.METHODS."
    ] = [
        "bottleneck",
        "leave-one-out",
        "integrated gradients",
        "LIME",
        "attention rollout",
        "random",
    ]
    layer: Layer = -1
    noise: NoiseLike = "dataset"
    beta: Beta = "auto"


@dataclass(frozen=True)
class Answer:
    """One row per pair, method and share; the curves; how far the first ninth lowers p."""

    pairs: Frame  # method, share, pair, original, p
    curves: Frame  # method, share, p, low, high, drop, drop_low, drop_high[, normalised]
    first: Frame  # the curves at the first share, the largest drop first


AT_ONCE = 4  # pairs; an interruption loses the work of so many at most


def analyse(given: Given) -> Answer:
    """The curves of every method over relevant pairs, one for each of so many queries."""
    sample = relevant_pairs(given.texts, given.pairs, given.seed)
    names = list(given.options.methods)
    everything = sample.of(given, slice(None))
    passing = Passing(given)
    methods = {name: method(name) for name in names}

    def attributed(name: str, pairs: Pairs) -> WordAttribution:
        if name == "bottleneck":
            return replace(passing(pairs), method=name)
        return replace(methods[name](given.model, pairs), method=name)

    def deleted(rows: slice) -> Frame:
        pairs = everything.take(rows)
        each = [attributed(name, pairs) for name in names]
        frame = degradation(given.model, each).frame()
        return frame.assign(pair=frame["pair"] + rows.start)

    parts = slices(len(everything), AT_ONCE)
    found = given.table("attributing and deleting", "degradation", deleted, parts)
    whole = Degradation.of(found)
    curves = with_normalised(whole, seed=given.seed)
    first = curves[curves["share"] == whole.shares[0]]
    return Answer(whole.frame(), curves, first.sort_values("drop", ascending=False))


def with_normalised(found: Degradation, *, seed: int) -> Frame:
    """The curves, normalised too where the texts allow it."""
    curves = found.curves(seed=seed)
    try:
        normalised = found.normalised()
    except NotMeasurable:
        return curves  # nothing falls; the plain curves show it
    columns = [[1.0, *normalised[name]] for name in found.kept]
    return curves.assign(normalised=[value for column in columns for value in column])


if __name__ == "__main__":
    main(__spec__.name)
