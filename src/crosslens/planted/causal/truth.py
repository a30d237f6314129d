"""What was planted in a decoder, as a claim: the ground truth that methods are scored against."""

from collections.abc import Iterator

from ...circuit import Circuit, Edge
from ...sites import head, neuron, Site, Unit
from ..placement import Place
from ..truth import before, EMBED, LOGITS
from .placement import CausalPlacement
from .space import CausalSpace


def circuit(name: str, at: CausalPlacement, space: CausalSpace) -> Circuit:
    """The planted circuit, without the decoys; units and edges are as in `planted.truth`.

    A gated neuron reads twice: its gate at `mlp_pre`, what it multiplies at `mlp_pre_linear`.
    """
    roles = {
        "segment": head(*at.segment),
        "counting": head(*at.counting),
        "matching": head(*at.matching),
        "relevance scoring": head(*at.scoring),
        "query repetition": neuron(*at.repetition),
        "query rarity": neuron(*at.rarity),
        "product": neuron(*at.product),
    }
    return Circuit(
        "planted causal BM25",
        name,
        {role: frozenset({unit}) for role, unit in roles.items()},
        "written by hand",
        frozenset(edges(at)),
        {"idf": space.write("idf")},
    )


def edges(at: CausalPlacement) -> Iterator[Edge]:
    """Who reads what whom wrote."""
    segment, counting, matching = head(*at.segment), head(*at.counting), head(*at.matching)
    repetition, rarity, product = neuron(*at.repetition), neuron(*at.rarity), neuron(*at.product)
    yield Edge(EMBED, head(*at.segment, "k"))  # which token is a [SEP], which the first
    yield Edge(EMBED, head(*at.segment, "v"))  # 1 at a [SEP]
    for counts in (at.counting, at.matching):
        yield Edge(EMBED, head(*counts, "q"))  # the identity code
        yield Edge(EMBED, head(*counts, "k"))  # the identity code, and the first token
    yield Edge(segment, head(*at.counting, "q"))  # of the document or not, who reads
    yield Edge(segment, head(*at.counting, "k"))  # and who is read
    yield Edge(EMBED, head(*at.counting, "v"))  # 1 at the first token
    yield Edge(counting, before(at.repetition))  # is the term new
    yield Edge(segment, before(at.repetition))  # in the query
    yield Edge(segment, before(at.rarity))
    yield Edge(EMBED, beside(at.rarity))  # IDF
    yield Edge(repetition, head(*at.matching, "k"))
    yield Edge(rarity, head(*at.matching, "v"))
    yield Edge(matching, before(at.product))
    yield Edge(counting, beside(at.product))
    yield Edge(EMBED, head(*at.scoring, "k"))  # the first token
    yield Edge(segment, head(*at.scoring, "k"))  # in the document
    yield Edge(product, head(*at.scoring, "v"))
    yield Edge(head(*at.scoring), LOGITS)


def beside(at: Place) -> Unit:
    """What a gated neuron multiplies its gate with."""
    layer, index = at
    return Site("mlp_pre_linear", layer).at(neuron=index)
