"""What was planted, as a claim: the ground truth that methods are scored against."""

from collections.abc import Iterator

from ..circuit import Circuit, Edge
from ..sites import head, neuron, Site, Unit
from .placement import Place, Placement
from .space import Space


EMBED = Site("embed").at()
TYPE = Site("token_type_embed").at()
POSITION = Site("pos_embed").at()
LOGITS = Site("logits").at()


def circuit(name: str, at: Placement, space: Space) -> Circuit:
    """The planted circuit, without the decoys.

    Units are heads at z and neurons after their activation. An edge runs from what writes a
    signal (an embedding table, a head's z, a neuron) to what reads it (a head's q, k or v, a
    neuron before its activation, the logits). That a head's q, k and v lead to its z, and a
    neuron's input to its output, goes without saying.
    """
    roles = {
        "matching": {head(*matching) for matching in at.matchers},
        "relevance scoring": {head(*at.scoring)},
        "length": {neuron(*at.length)},
    }
    if at.contextual is not None:
        roles["contextual query representation"] = {head(*at.contextual)}
    if at.suppressor is not None:
        roles["suppression"] = {head(*at.suppressor)}
    if at.backup is not None and at.switch is not None:
        roles["backup matching"] = {head(*at.backup)}
        roles["backup switch"] = {neuron(*at.switch)}
    idf = space.write("idf")
    return Circuit(
        "planted BM25",
        name,
        {role: frozenset(units) for role, units in roles.items()},
        "written by hand",
        frozenset(edges(at)),
        {"idf": idf / idf.norm()},
    )


def edges(at: Placement) -> Iterator[Edge]:
    """Who reads what whom wrote."""
    length, scoring = neuron(*at.length), at.scoring
    reader = at.contextual or scoring  # of what the matching heads count
    for embedding in (EMBED, TYPE, POSITION):  # the [SEP], of the document, at its place
        yield Edge(embedding, before(at.length))
    counting = [*at.matchers, *filter(None, [at.suppressor])]
    for matching in filter(None, (*counting, at.backup)):
        yield Edge(EMBED, head(*matching, "q"))  # the identity code
        yield Edge(EMBED, head(*matching, "k"))  # the identity code, and the [SEP]
        yield Edge(TYPE, head(*matching, "k"))  # in the document
        yield Edge(length, head(*matching, "k"))  # K, at the last [SEP]
        yield Edge(EMBED, head(*matching, "v"))  # 1 for a document token, 0 for its [SEP]
        yield Edge(TYPE, head(*matching, "v"))
    for matching in counting:
        yield Edge(head(*matching), head(*reader, "v"))
    if at.backup is not None and at.switch is not None:
        for matching in (*counting, at.backup):
            yield Edge(head(*matching), before(at.switch))
        yield Edge(neuron(*at.switch), head(*reader, "v"))
    if at.contextual is not None:
        yield Edge(EMBED, head(*at.contextual, "q"))  # which token is [CLS], to read itself
        yield Edge(head(*at.contextual), head(*scoring, "v"))
    for reading in filter(None, (at.contextual, scoring)):
        yield Edge(EMBED, head(*reading, "k"))  # log IDF, and which token is [CLS]
        yield Edge(TYPE, head(*reading, "k"))  # not in the document
    yield Edge(head(*scoring), LOGITS)


def before(at: Place) -> Unit:
    """A neuron before its activation."""
    layer, index = at
    return Site("mlp_pre", layer).at(neuron=index)
