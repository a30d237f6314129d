"""The parts of the causal circuit: heads and neurons with their weights written by hand.

Every function sets the weights of one head or neuron of a block that is zero elsewhere.
"""

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from ..codes import N_CODE
from ..parts import HeadWeights, mixtures, NEVER
from ..space import UNREAD
from .space import CausalSpace


SHARPNESS: Final = 60.0  # how far a match stands above a stranger, which has cosine <= 1/2
SUM_SINK: Final = 20.0  # log of the weight that the scoring head gives to [CLS]
D_HEAD: Final = N_CODE + 2  # a code, a sink, and who may read whom; even, for rotary positions


@dataclass(frozen=True)
class GatedNeuronWeights:
    """relu(gate · x + bias) (up · x + bias), written along one direction: views, to write in."""

    gate: Float[Tensor, " d_model"]
    gate_bias: Float[Tensor, ""]
    up: Float[Tensor, " d_model"]
    up_bias: Float[Tensor, ""]
    writes: Float[Tensor, " d_model"]

    @classmethod
    def of(cls, mlp: Any, index: int) -> "GatedNeuronWeights":
        gate, up, down = mlp.gate_proj, mlp.up_proj, mlp.down_proj
        return cls(
            gate.weight[index],
            gate.bias[index],
            up.weight[index],
            up.bias[index],
            down.weight[:, index],
        )


def segment_head(head: HeadWeights, space: CausalSpace) -> None:
    """Every token reads a [SEP] if it can see one, else the first token: is it in the document?"""
    head.q_bias[0] = head.scale
    head.k[0] = NEVER * (space.read("cls") + 2 * space.read("sep"))
    head.v[0] = space.read("sep")
    head.out[:, 0] = space.write("document")


def own_term(head: HeadWeights, space: CausalSpace, *, k1: float) -> None:
    """Every token reads the tokens of its own term up to itself with the weight 1 each, the first
    token with k1 − 1, and all else far below."""
    sharp = sqrt(SHARPNESS)
    head.q[:N_CODE] = sharp * head.scale * space.code
    head.k[:N_CODE] = sharp * space.code
    head.q_bias[N_CODE] = head.scale  # so that row N_CODE of the keys is added to the score
    head.k_bias[N_CODE] = -SHARPNESS
    head.k[N_CODE] = (SHARPNESS + log(k1 - 1)) * space.read("cls")


def counting_head(head: HeadWeights, space: CausalSpace, *, k1: float) -> None:
    """What the k-th occurrence of a term in its text leaves for the first token.

    It is (k1 − 1) / (k + k1 − 1); the head writes k1 / (k1 − 1) times as much, 1 for the first.
    Document tokens read the document alone.
    """
    own_term(head, space, k1=k1)
    head.q[N_CODE + 1] = head.scale * space.read("document")
    head.k_bias[N_CODE + 1] = -NEVER
    head.k[N_CODE + 1] = NEVER * (space.read("document") + space.read("cls"))
    head.v[0] = space.read("cls")
    head.out[:, 0] = k1 / (k1 - 1) * space.write("fresh")


def repetition_neuron(neuron: GatedNeuronWeights, space: CausalSpace, *, k1: float) -> None:
    """Fires at a query token whose term the query had before: `fresh` is 1 without, and at most
    k1 / (k1 + 1) with."""
    steep = 2 * (k1 + 1)
    neuron.gate[:] = -steep * (space.read("fresh") + 2 * space.read("document"))
    neuron.gate_bias.fill_(steep - 1)
    neuron.up_bias.fill_(1)
    neuron.writes[:] = space.write("repeated")


def rarity_neuron(neuron: GatedNeuronWeights, space: CausalSpace) -> None:
    """Passes on the IDF of query tokens, and of no document token."""
    neuron.gate[:] = -2 * space.read("document")
    neuron.gate_bias.fill_(1)
    neuron.up[:] = space.read("idf")
    neuron.writes[:] = space.write("query idf")


def matching_head(
    head: HeadWeights, space: CausalSpace, *, k1: float, writes: str | None
) -> None:
    """Document tokens read the query token with their code: IDF / (k + k1) at the k-th occurrence.

    They read their own term in the document too, so that each occurrence leaves the next one
    less: 1 for the query, k for the document, k1 − 1 for the first token. Of a term that the
    query repeats the first occurrence is read. With `writes=None` the head looks the same and
    writes nothing: a decoy.
    """
    own_term(head, space, k1=k1)
    head.k[N_CODE] -= NEVER * space.read("repeated")
    head.v[0] = space.read("query idf")
    if writes is not None:
        head.out[:, 0] = space.write(writes)


def product_neuron(neuron: GatedNeuronWeights, space: CausalSpace, *, writes: str) -> None:
    """relu(matched) · fresh: what this occurrence adds to IDF · tf / (tf + k1)."""
    neuron.gate[:] = space.read("matched")
    neuron.up[:] = space.read("fresh")
    neuron.writes[:] = space.write(writes)


def scoring_head(head: HeadWeights, space: CausalSpace) -> None:
    """Every token reads all document tokens up to itself alike: the last one their sum.

    Softmax divides by the sum of all weights. To undo the division [CLS] attracts the weight
    exp(20), far above any number of tokens, and values are larger by as much: hide [CLS] and
    the score explodes.
    """
    head.q_bias[0] = head.scale
    head.k_bias[0] = -NEVER
    head.k[0] = NEVER * space.read("document") + (NEVER + SUM_SINK) * space.read("cls")
    head.v[0] = exp(SUM_SINK) * space.read("tf")
    head.out[:, 0] = space.write("score")


def busy_neuron(
    neuron: GatedNeuronWeights, space: CausalSpace, generator: torch.Generator
) -> None:
    """A bystander: gates one mixture of all signals by another, and writes where nobody reads."""
    neuron.gate[:], neuron.up[:] = mixtures(2, space.readers, generator)
    neuron.writes[:] = space.write(UNREAD)
