"""What passes the bottleneck, as the options `layer`, `noise` and `beta` of an analysis choose."""

import random
from dataclasses import dataclass
from functools import cached_property

from crosslens import bottleneck, Pairs
from crosslens.attribution import Noise
from crosslens.words import noise_statistics, passed_information, WordAttribution

from .running import Given


REFERENCE = 100  # pairs whose tokens the noise "dataset" is like


@dataclass
class Passing:
    """The bottleneck of an analysis; the noise "dataset" is measured once, when it is needed."""

    given: Given

    def __call__(self, pairs: Pairs) -> WordAttribution:
        """The nats that each token passes after the layer of the option `layer`; -1: as published.

        Raises:
            LookupError: the model lacks the layer.
        """
        layer = self.given.options.layer
        return passed_information(
            self.given.model,
            pairs,
            layer=None if layer == -1 else layer,
            noise=self.noise,
            beta=self.beta,
            seed=self.given.seed,
        )

    def layers(self, pairs: Pairs) -> list[WordAttribution]:
        """The nats after each layer, named by its number."""
        given, noises = self.given, self.noise
        if isinstance(noises, str):
            noises = noise_statistics(given.model, pairs, noises)
        found = bottleneck(given.model, pairs, noises, beta=self.beta, seed=given.seed)
        return [
            WordAttribution(f"{layer}", pairs, nats)
            for layer, nats in zip(found.layers, found.nats, strict=True)
        ]

    @cached_property
    def noise(self) -> list[Noise] | str:
        """The noise that all pairs share; the name of one that each pair has for itself."""
        kind = self.given.options.noise
        return (
            noise_statistics(self.given.model, reference(self.given)) if kind == "dataset" else kind
        )

    @property
    def beta(self) -> float | None:
        """The option `beta` as the bottleneck takes it.

        Raises:
            ValueError: neither a number nor "auto".
        """
        beta = self.given.options.beta
        try:
            return None if beta == "auto" else float(beta)
        except ValueError:
            raise ValueError(f"beta is {beta!r}: expected a number, or auto") from None


def reference(given: Given) -> Pairs:
    """Candidates of the collection, drawn by the seed: a hundred, or as many as there are."""
    texts = given.texts
    every = sorted((qid, docid) for qid, docids in texts.candidates.items() for docid in docids)
    chosen = random.Random(given.seed).sample(every, min(REFERENCE, len(every)))
    return given.model.pairs(
        [texts.queries[qid] for qid, _ in chosen], [texts.documents[docid] for _, docid in chosen]
    )
