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


SHARPNESS: Final = 50.0  # how far a match stands above a stranger, which has cosine <= 1/2
REST: Final = 20.0  # how far below a match the first token is
SUM_SINK: Final = 20.0  # log of the weight that the scoring head gives to [CLS]
D_HEAD: Final = N_CODE + 2  # a code and what is added to its product; even, for rotary positions


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


def own_term(head: HeadWeights, space: CausalSpace) -> None:
    """Every token reads the tokens of its own term up to itself, with the weight 1 each.

    All else is far below, the first token less so: what has no term reads that.
    """
    sharp = sqrt(SHARPNESS)
    head.q[:N_CODE] = sharp * head.scale * space.code
    head.k[:N_CODE] = sharp * space.code
    head.q_bias[N_CODE] = head.scale  # so that row N_CODE of the keys is added to the score
    head.k_bias[N_CODE] = -SHARPNESS
    head.k[N_CODE] = (SHARPNESS - REST) * space.read("cls")


def repetition_head(head: HeadWeights, space: CausalSpace) -> None:
    """The first token counts as one more of every term: at the i-th it gets 1 / (i + 1)."""
    own_term(head, space)
    head.k[N_CODE] = SHARPNESS * space.read("cls")
    head.v[0] = space.read("cls")
    head.out[:, 0] = space.write("alone")


def repetition_neuron(neuron: GatedNeuronWeights, space: CausalSpace) -> None:
    """Fires at a query token whose term the query had before: `alone` is 1/2 without, and at most
    1/3 with."""
    neuron.gate[:] = -12 * (space.read("alone") + space.read("document"))
    neuron.gate_bias.fill_(5)  # -1 without, 1 or more with
    neuron.up_bias.fill_(1)
    neuron.writes[:] = space.write("repeated")


def rarity_neuron(
    neuron: GatedNeuronWeights, space: CausalSpace, *, writes: Float[Tensor, " d_model"]
) -> None:
    """A product: passes on the IDF of query tokens, and of no document token."""
    neuron.gate[:] = -2 * space.read("document")
    neuron.gate_bias.fill_(1)
    neuron.up[:] = space.read("idf")
    neuron.writes[:] = writes


def matching_head(
    head: HeadWeights, space: CausalSpace, *, weight: float, writes: Float[Tensor, " d_model"]
) -> None:
    """Document tokens read the query token with their code: soft term frequency.

    It has the given weight, against 1 for every token of their own term in the document up to
    themselves: the k-th occurrence reads IDF · weight / (k + weight), each less than the one
    before it, and what the query does not have reads 0. Of a term that the query repeats the
    first occurrence is read.
    """
    own_term(head, space)
    head.k_bias[N_CODE] += log(weight)
    head.k[N_CODE] -= log(weight) * space.read("document")
    head.k[N_CODE] -= NEVER * space.read("repeated")
    head.v[0] = space.read("query idf")
    head.out[:, 0] = writes


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


def match_neuron(neuron: GatedNeuronWeights, space: CausalSpace) -> None:
    """A decoy that fires on every matched token and writes where nobody reads."""
    neuron.gate[:] = space.read("tf")
    neuron.up_bias.fill_(1)
    neuron.writes[:] = space.write(UNREAD)


def busy_neuron(neuron: GatedNeuronWeights, space: CausalSpace, generator: torch.Generator) -> None:
    """A bystander: gates one mixture of all signals by another, and writes where nobody reads."""
    neuron.gate[:], neuron.up[:] = mixtures(2, space.readers, generator)
    neuron.writes[:] = space.write(UNREAD)
