"""Baselines: the word embeddings from which attribution begins, and how neutral they are.

A baseline replaces some parts of the pair, by the model's padding token or by zeros; position and
segment embeddings and the attention mask stay. Vast et al. (2024), section 3 and Table 1, take
the one whose input the model finds neither relevant nor other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.flow.conductance import padding_baseline
from ..batching.recorded import recorded
from ..hooks import Hooked
from ..pairs import Pairs
from ..sites import Site


@dataclass(frozen=True)
class Baseline:
    """What is put in the place of a pair's words, and which segments keep theirs."""

    fill: str  # "padding" or "zero"
    kept: tuple[str, ...] = ()

    def __call__(self, model: Hooked, pairs: Pairs) -> Float[Tensor, "pair pos d_embed"]:
        """The word embeddings of the baseline of each pair, in the model's own scale."""
        if self.fill == "padding":
            return padding_baseline(model, pairs, self.kept)
        words = recorded(model, pairs, ["embed"])[0][Site("embed")]
        return torch.where(pairs.where(*self.kept)[:, :, None], words, torch.zeros_like(words))


SPECIAL: Final = ("cls", "sep1", "sep2")
BASELINES: Final[Mapping[str, Baseline]] = MappingProxyType(
    {
        "padding": Baseline("padding"),
        "padding, specials kept": Baseline("padding", SPECIAL),
        "query padded": Baseline("padding", (*SPECIAL, "document")),
        "document padded": Baseline("padding", (*SPECIAL, "query")),
        "zero": Baseline("zero"),
        "zero, specials kept": Baseline("zero", SPECIAL),
        "query zero": Baseline("zero", (*SPECIAL, "document")),
        "document zero": Baseline("zero", (*SPECIAL, "query")),
    }
)


def baseline(name: str) -> Baseline:
    """The baseline of that name.

    Raises:
        LookupError: there is none; says which there are.
    """
    if name not in BASELINES:
        raise LookupError(f"no baseline is called {name!r}; there are {', '.join(BASELINES)}")
    return BASELINES[name]


@torch.no_grad()
def preference(
    model: Hooked, pairs: Pairs, start: Baseline | None = None
) -> Float[Tensor, " pair"]:
    """How much the model prefers "relevant" for each pair, or for its baseline.

    The difference of two probabilities on a scale from −1 to 1, p(relevant) − p(other); 0 is
    neutral.
    """
    words = None if start is None else start(model, pairs)
    _, scores = recorded(model, pairs, [], words=words)
    return torch.tanh(scores / 2)  # sigmoid(s) - sigmoid(-s)
