"""The parts of a planted circuit: heads and neurons with their weights written by hand.

Every function sets the weights of one head or neuron of a block that is zero elsewhere.
"""

from dataclasses import dataclass
from math import log, sqrt
from typing import Final

import torch
from einops import einsum
from jaxtyping import Float
from torch import nn, Tensor
from transformers.models.bert.modeling_bert import BertLayer

from .codes import N_CODE
from .space import Space


SHARPNESS: Final = 40.0  # how far a match stands above a stranger, which has cosine <= 1/2
NEVER: Final = 40.0  # subtracted from an attention score: exp(-40) is nothing
CLS_SINK: Final = 12.0  # log of the weight that [CLS] gives itself
ALIKE: Final = 1e-5  # by how much two heads that say the same may differ: rounding
UNREACHED: Final = 20.0  # above what `length` can be, so that one flag missing silences a neuron


@dataclass(frozen=True)
class HeadWeights:
    """The rows and columns of a block's attention that are one head's: views, to write in."""

    q: Float[Tensor, "d_head d_model"]
    k: Float[Tensor, "d_head d_model"]
    v: Float[Tensor, "d_head d_model"]
    out: Float[Tensor, "d_model d_head"]
    q_bias: Float[Tensor, " d_head"]
    k_bias: Float[Tensor, " d_head"]

    @classmethod
    def of(
        cls, q: nn.Linear, k: nn.Linear, v: nn.Linear, out: nn.Linear, index: int, d_head: int
    ) -> "HeadWeights":
        own = slice(index * d_head, (index + 1) * d_head)
        return cls(
            q.weight[own],
            k.weight[own],
            v.weight[own],
            out.weight[:, own],
            q.bias[own],
            k.bias[own],
        )

    @property
    def scale(self) -> float:
        """Undoes the division of scalar products by √d_head."""
        return sqrt(self.q.shape[0])


@dataclass(frozen=True)
class NeuronWeights:
    """The row, bias and column of a block's MLP that are one neuron's: views, to write in."""

    reads: Float[Tensor, " d_model"]
    bias: Float[Tensor, ""]
    writes: Float[Tensor, " d_model"]

    @classmethod
    def of(cls, block: BertLayer, index: int) -> "NeuronWeights":
        read, write = block.intermediate.dense, block.output.dense
        return cls(read.weight[index], read.bias[index], write.weight[:, index])


def matching_head(
    head: HeadWeights, space: Space, *, k1: float, b: float, writes: str | None, share: float = 1.0
) -> None:
    """Each token attends to the document tokens with its code: saturated term frequency.

    A match has the attention score 0 and so the weight 1; the last [SEP] has the weight
    K = k1 (1 − b + b·|d|/avgdl), as k1 (1 − b) by bias and the rest from the length neuron;
    all else is far below. Softmax gives the matches tf / (tf + K) in all, and only they have
    a value, of which the head writes `share`. With `writes=None` it looks the same and writes
    nothing: a decoy.
    """
    sharp = sqrt(SHARPNESS)
    head.q[:N_CODE] = sharp * head.scale * space.code / 2
    head.k[:N_CODE] = sharp * space.code / 2
    head.q_bias[N_CODE] = head.scale  # so that row N_CODE of the keys is added to the score
    head.k_bias[N_CODE] = -SHARPNESS - NEVER
    head.k[N_CODE] = (
        NEVER * space.read("document")
        + (SHARPNESS + log(k1 * (1 - b))) * space.read("sep")
        + space.read("room")
    )
    head.v[0] = space.read("document") - space.read("sep")
    if writes is not None:
        head.out[:, 0] = share * space.write(writes)


def contextual_head(head: HeadWeights, space: Space) -> None:
    """Every query token reads all of them, weighted by IDF: how well the whole query matches.

    Scoring weighs the query tokens by IDF as well, so that it is still BM25 in the end:

        Σ_i IDF_i · (Σ_j IDF_j tf_j / Σ_j IDF_j) = Σ_j IDF_j tf_j

    [CLS] reads itself, where nothing is counted: what it held would be part of the score.
    """
    head.q_bias[0] = head.scale
    head.k[0] = space.read("idf") - NEVER * space.read("document")
    head.k[0] -= NEVER * (space.read("cls") + space.read("sep"))
    head.q[1] = head.scale * space.read("cls")
    head.k[1] = 2 * NEVER * space.read("cls")
    head.v[0] = space.read("count")
    head.out[:, 0] = space.write("tf")


def scoring_head(head: HeadWeights, space: Space, *, normalised: bool) -> None:
    """Every token reads the query's term frequencies, weighted by IDF: BM25.

    Keys hold log IDF, so softmax weighs by IDF and divides by the sum of all weights. To
    undo the division [CLS] attracts the weight exp(12), far above any sum of IDFs, and
    values are larger by as much: hide [CLS] from itself and the score explodes. `normalised`
    does without: the score is then divided by the total IDF of the query. All tokens read
    alike, but only what [CLS] reads reaches the score of the pair.
    """
    size = 1.0 if normalised else torch.tensor(CLS_SINK).exp()
    head.q_bias[0] = head.scale
    head.k[0] = space.read("idf") - NEVER * space.read("document")
    head.k[0] += (-NEVER if normalised else CLS_SINK) * space.read("cls")
    head.k[0] -= NEVER * space.read("sep")
    head.v[0] = size * space.read("tf")
    head.out[:, 0] = space.write("score")


def length_neuron(neuron: NeuronWeights, space: Space, *, writes: str) -> None:
    """Lets through, at the last [SEP] alone, what its position says about the length."""
    last_sep = space.read("sep") + space.read("document")  # 2 there, at most 1 elsewhere
    neuron.reads[:] = space.read("length") + UNREACHED * last_sep
    neuron.bias.fill_(-2 * UNREACHED)
    neuron.writes[:] = space.write(writes)


def switch_neuron(neuron: NeuronWeights, space: Space, *, tf: str) -> None:
    """tf + relu(spare tf - tf) is the larger: the backup speaks where the first is silent."""
    neuron.reads[:] = space.read("spare tf") - space.read(tf)
    neuron.bias.fill_(-ALIKE)
    neuron.writes[:] = space.write(tf)


def match_neuron(neuron: NeuronWeights, space: Space, *, tf: str) -> None:
    """A decoy that fires on every matched token and writes where nobody reads."""
    neuron.reads[:] = space.read(tf)
    neuron.writes[:] = space.write("unread")


def busy_head(
    head: HeadWeights,
    reads: Float[Tensor, "signal d_model"],
    writes: Float[Tensor, " d_model"],
    generator: torch.Generator,
) -> None:
    """A bystander: reads all signals at random, and writes where nobody reads."""
    head.q[:] = head.scale * mixtures(len(head.q), reads, generator)
    head.k[:] = mixtures(len(head.k), reads, generator)
    head.v[:] = mixtures(len(head.v), reads, generator)
    mixed = torch.randn(len(head.v), generator=generator) / head.scale
    head.out[:] = writes[:, None] * mixed


def busy_neuron(neuron: NeuronWeights, space: Space, generator: torch.Generator) -> None:
    """The same of a neuron."""
    neuron.reads[:] = mixtures(1, space.readers, generator)[0]
    neuron.writes[:] = space.write("unread")


def mixtures(
    n: int, reads: Float[Tensor, "signal d_model"], generator: torch.Generator
) -> Float[Tensor, "row d_model"]:
    """Directions that read a mixture of all that is read in a planted model."""
    drawn = torch.randn(n, len(reads), generator=generator) / sqrt(n)
    return einsum(drawn, reads, "row signal, signal d -> row d")
