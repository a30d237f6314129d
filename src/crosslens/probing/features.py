"""The states of chosen tokens in every layer, recorded in one pass over the pairs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..batching.batches import by_like_length
from ..hooks import Hooked
from ..not_measurable import NotMeasurable
from ..pairs import Pairs
from ..sites import Site


@dataclass(frozen=True, eq=False)
class Features:
    """The states of a group of tokens after every layer; layer 0 is what the first block reads.

    The vectors stand pair by pair, in the order of their positions: so do the labels of
    `label[mask]`.
    """

    vectors: Float[Tensor, "layer vector d_model"]
    pair: Int[Tensor, " vector"]  # the pair that each is of
    n_pairs: int

    @property
    def counts(self) -> Int[Tensor, " pair"]:
        """How many vectors each pair has."""
        return torch.bincount(self.pair, minlength=self.n_pairs)

    def means(self, layer: int) -> Float[Tensor, "pair d_model"]:
        """The mean vector of each pair, in the scale of the stream.

        A pair without a vector gets the mean of the others, about which a probe is indifferent.

        Raises:
            NotMeasurable: no pair has a vector.
        """
        if not len(self.pair):
            raise NotMeasurable(f"none of the {self.n_pairs} pairs has a token of this group")
        total = torch.segment_reduce(self.vectors[layer].double(), "sum", lengths=self.counts)
        has = self.counts > 0
        mean = total / self.counts.clamp(min=1)[:, None]
        return torch.where(has[:, None], mean, mean[has].mean(dim=0)).float()


@torch.no_grad()
def features(
    model: Hooked,
    pairs: Pairs,
    groups: Mapping[str, Bool[Tensor, "pair pos"]],
    *,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Features]:
    """The states of every group of tokens after every layer, by group.

    Only the chosen tokens are kept as they pass. Half precision, as in Zhan et al. (2020), halves
    the memory.

    Raises:
        LookupError: no group is given.
        ValueError: a group does not say which tokens of these pairs are in it.
    """
    if not groups:
        raise LookupError("no group of tokens is given: there is nothing to record")
    for name, mask in groups.items():
        if mask.shape != pairs.token.shape:
            raise ValueError(
                f"group {name!r} has shape {tuple(mask.shape)}, the tokens of the pairs "
                f"{tuple(pairs.token.shape)}"
            )
    sites = [model.sites("resid_pre")[0], *model.block_outputs()]

    def states(rows: list[int], width: int) -> dict[str, dict[Site, Tensor]]:
        chosen = {name: mask[rows][:, :width] for name, mask in groups.items()}
        found: dict[str, dict[Site, Tensor]] = {name: {} for name in groups}

        def keep(site: Site, stream: Tensor) -> None:
            for name, mask in chosen.items():
                found[name][site] = stream[mask].to("cpu", dtype)

        with model.tapped([(site, partial(keep, site)) for site in sites]):
            model(pairs.take(rows, width=width))
        return found

    order: list[int] = []
    kept: dict[str, dict[Site, list[Tensor]]] = {
        name: {site: [] for site in sites} for name in groups
    }
    for rows, found in by_like_length(states, pairs):
        order += rows
        for name, by_site in found.items():
            for site, vectors in by_site.items():
                kept[name][site].append(vectors)
    features = {}
    for name, mask in groups.items():
        counts = mask.sum(dim=1).cpu()
        pair = torch.tensor(order).repeat_interleave(counts[order])
        back = pair.argsort(stable=True)
        vectors = torch.stack([torch.cat(kept[name].pop(site))[back] for site in sites])
        features[name] = Features(vectors, pair[back], len(pairs))
    return features
