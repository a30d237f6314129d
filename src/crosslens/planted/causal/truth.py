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
        "segment": {head(*at.segment)},
        "query repetition": {head(*at.repetition), neuron(*at.repetition_neuron)},
        "query rarity": {neuron(*at.rarity)},
        "matching": {head(*matching) for matching in at.matchers},
        "relevance scoring": {head(*at.scoring)},
    }
    return Circuit(
        "planted causal BM25",
        name,
        {role: frozenset(units) for role, units in roles.items()},
        "written by hand",
        frozenset(edges(at)),
        {"idf": space.write("idf")},
    )


def edges(at: CausalPlacement) -> Iterator[Edge]:
    """Who reads what whom wrote."""
    segment, repetition, scoring = head(*at.segment), head(*at.repetition), head(*at.scoring)
    yield Edge(EMBED, head(*at.segment, "k"))  # which token is a [SEP], which the first
    yield Edge(EMBED, head(*at.segment, "v"))  # 1 at a [SEP]
    for counting in (at.repetition, *at.matchers):
        yield Edge(EMBED, head(*counting, "q"))  # the identity code
        yield Edge(EMBED, head(*counting, "k"))  # the identity code, and the first token
    yield Edge(EMBED, head(*at.repetition, "v"))  # 1 at the first token
    yield Edge(repetition, before(at.repetition_neuron))
    for neuron_at in (at.repetition_neuron, at.rarity):
        yield Edge(segment, before(neuron_at))  # not in the document
    yield Edge(EMBED, beside(at.rarity))  # IDF
    for matching in at.matchers:
        yield Edge(segment, head(*matching, "k"))  # the weight of the query, or that of a term
        yield Edge(neuron(*at.repetition_neuron), head(*matching, "k"))
        yield Edge(neuron(*at.rarity), head(*matching, "v"))
        yield Edge(head(*matching), head(*at.scoring, "v"))
    yield Edge(EMBED, head(*at.scoring, "k"))  # the first token
    yield Edge(segment, head(*at.scoring, "k"))  # in the document
    yield Edge(scoring, LOGITS)


def beside(at: Place) -> Unit:
    """What a gated neuron multiplies its gate with."""
    layer, index = at
    return Site("mlp_pre_linear", layer).at(neuron=index)
