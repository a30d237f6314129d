"""What does each layer let pass: special tokens or words, early tokens or late?

The information bottleneck after every layer, over relevant pairs: how fast a prediction falls as
the tokens that pass most are deleted, layer by layer; what share of the information [CLS] and
[SEP] pass; and where in the document the most important tokens stand.
Jiang et al. (2021), Fig. 1b, 4, 5, 6, 7, 10 and Table 1.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from crosslens.frames import Frame, pd
from crosslens.words import Degradation, degradation

from .degradation import with_normalised
from .means import means_of
from .option_types import Beta, Important, NoiseLike
from .passed import Passing
from .positions import early, histogram, tokens_of
from .running import Given, main
from .samples import relevant_pairs, slices


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 8
    noise: NoiseLike = "dataset"
    beta: Beta = "auto"
    important: Important = 20


@dataclass(frozen=True)
class Answer:
    """By layer: where important tokens stand, special tokens, and how fast predictions fall."""

    positions: Frame  # layer, position (first of ten, from 0), tokens, share
    early: Frame  # layer, important, all_tokens, more (each with low and high), n
    special: Frame  # layer, token, scaled and weight, each with low and high
    curves: Frame  # layer, method, share, p, low, high, drop, ...
    first: Frame  # layer, drop and its interval after the first ninth


SPREADS = [f"{name}{end}" for name in ("scaled", "weight") for end in ("", "_low", "_high")]
AT_ONCE = 4  # pairs; an interruption loses the work of so many at most


def analyse(given: Given) -> Answer:
    """The bottleneck of every layer, in parts; then the three tables."""
    sample = relevant_pairs(given.texts, given.pairs, given.seed)
    everything = sample.of(given, slice(None))
    parts = slices(len(everything), AT_ONCE)
    passing = Passing(given)

    def squeezed(rows: slice) -> dict[str, Frame]:
        """How the predictions of some pairs fall, layer by layer, and what each token passes."""
        layers = passing.layers(everything.take(rows))
        tables = [
            tokens_of(each, given.options.important).assign(layer=layer)
            for layer, each in enumerate(layers)
        ]
        both = {
            "deleted": degradation(given.model, layers).frame(),
            "tokens": pd.concat(tables, ignore_index=True),
        }
        return {name: part.assign(pair=part["pair"] + rows.start) for name, part in both.items()}

    computes = [partial(squeezed, rows) for rows in parts]
    both = given.gathered("squeezing layers", ["deleted", "tokens"], computes)
    curves, found = _curves(both["deleted"], given.seed), both["tokens"]
    first = curves[curves["share"] == curves["share"][curves["share"] > 0].min()]
    return Answer(
        histogram(found, "layer"),
        early(found, "layer", given.seed),
        _special(found, given.seed),
        curves,
        first.reset_index(drop=True),
    )


def _curves(frame: Frame, seed: int) -> Frame:
    """Degradation by layer; the control of the analysis `degradation` is not repeated here."""
    curves = with_normalised(Degradation.of(frame), seed=seed)
    return curves.assign(layer=curves["method"].astype(int))


def _special(tokens: Frame, seed: int) -> Frame:
    """What [CLS] and each [SEP] pass, min-max scaled in their pair and as a share of all nats."""
    of_pair = tokens.groupby(["layer", "pair"])["value"]
    low, high = of_pair.transform("min"), of_pair.transform("max")
    span = (high - low).clip(lower=1e-12)
    tokens = tokens.assign(
        scaled=(tokens["value"] - low) / span, weight=tokens["value"] / of_pair.transform("sum")
    )
    rows = []
    special = tokens[tokens["segment"].isin(["cls", "sep1", "sep2"])]
    for (layer, segment), some in special.groupby(["layer", "segment"]):
        means = means_of({name: some[name] for name in ("scaled", "weight")}, seed)
        rows.append({"layer": layer, "token": segment, **means})
    return pd.DataFrame(rows, columns=["layer", "token", *SPREADS])  # T5 has neither token


if __name__ == "__main__":
    main(__spec__.name)
