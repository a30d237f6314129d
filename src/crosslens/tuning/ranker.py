"""A scoring head on the trunk of a reranker: a ranker that `tune` can train.

Where the trunk is frozen, the states of a pair are computed once, kept in half precision, and found
again by the pair's tokens, so that an epoch costs no pass of the trunk.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import nn, Tensor

from ..batching.batches import scores_of
from ..hooks import Hooked
from ..pairs import Pairs
from ..probing.features import Features
from .batch_gradient import Trainable
from .scoring_heads import ScoringHead, States


ALONE = {
    "query alone": ("cls", "query", "sep1"),
    "document alone": ("cls", "document", "sep2"),
}
JOINT = ("cls", "query", "document")
Key = tuple[bytes, bytes]  # tokens and segments
Kept = dict[Key, dict[str, Tensor]]  # of a pair, by group: layer, vector, d_model


@runtime_checkable
class Trunk(Hooked, Trainable, Protocol):
    """What a head is put on: a hooked model that reads texts and can be trained."""


class Ranker(nn.Module):
    """`head` reads what the layers of `trunk` leave; the trunk's own head is not used.

    Args:
        is_frozen: the trunk does not change, and its states are kept.
        kept: where they are kept; rankers on the same frozen trunk may share it.
    """

    def __init__(
        self,
        trunk: Trunk,
        head: ScoringHead,
        *,
        is_frozen: bool = True,
        kept: Kept | None = None,
    ):
        super().__init__()
        self.trunk, self.head, self.is_frozen = trunk, head, is_frozen
        self._kept: Kept = {} if kept is None else kept

    def forward(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """The head's score of each pair."""
        return self.head(self._found(pairs) if self.is_frozen else self.states(pairs))

    def pairs(self, queries: Sequence[str], documents: Sequence[str]) -> Pairs:
        """The pairs, as the trunk reads them."""
        return self.trunk.pairs(queries, documents)

    def score(self, query: str, documents: Sequence[str]) -> Float[Tensor, " document"]:
        """The head's score of each document for the query."""
        return scores_of(self, self.pairs([query] * len(documents), documents)).float()

    def states(self, pairs: Pairs, more: Sequence[str] = ()) -> States:
        """What the head reads, after every layer but the embeddings; gradients reach the trunk.

        And the groups of `more`, if it reads query and document together.
        """
        found: dict[str, Features] = {}
        for name in ALONE.keys() & set(self.head.reads):
            alone = pairs.only(pairs.where(*ALONE[name]))
            alone = replace(alone, token_type=torch.zeros_like(alone.token_type))
            found[name] = _read(self.trunk, alone, ["cls"])["cls"]
        joined = [name for name in self.head.reads if name not in ALONE]
        joined = sorted({*joined, *more}) if joined else []
        return found | (_read(self.trunk, pairs, joined) if joined else {})

    @torch.no_grad()
    def _found(self, pairs: Pairs) -> States:
        """The states of each pair, kept ones where they are."""
        keys = [key_of(pairs, i) for i in range(len(pairs))]
        lacking = [
            i
            for i, key in enumerate(keys)
            if not set(self.head.reads) <= self._kept.get(key, {}).keys()
        ]
        if lacking:
            # what one head does not read another may: the pass costs the same
            for name, group in self.states(pairs.take(lacking), JOINT).items():
                parts = group.vectors.half().split(group.counts.tolist(), dim=1)
                for i, part in zip(lacking, parts, strict=True):
                    self._kept.setdefault(keys[i], {})[name] = part
        found = {}
        for name in self.head.reads:
            parts = [self._kept[key][name] for key in keys]
            counts = torch.tensor([part.shape[1] for part in parts], device=pairs.device)
            pair = torch.arange(len(parts), device=pairs.device).repeat_interleave(counts)
            found[name] = Features(torch.cat(parts, dim=1).float(), pair, len(parts))
        return found


def key_of(pairs: Pairs, i: int) -> Key:
    """What decides a pair's states: its tokens and their segments."""
    there = pairs.attended[i]
    token, segment = pairs.token[i, there], pairs.segment[i, there]
    return token.numpy(force=True).tobytes(), segment.numpy(force=True).tobytes()


def _read(trunk: Trunk, pairs: Pairs, names: Sequence[str]) -> dict[str, Features]:
    """The states of the tokens of each segment, after every layer."""
    masks = {name: pairs.where(name) for name in names}
    kept: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(stream: Tensor) -> None:
        for name, mask in masks.items():
            kept[name].append(stream[mask])

    with trunk.tapped([(site, keep) for site in trunk.block_outputs()]):
        trunk(pairs)
    return {
        name: Features(torch.stack(kept[name]), mask.nonzero()[:, 0], len(pairs))
        for name, mask in masks.items()
    }
