"""Edges as the literature writes them: `a0.h1->a3.h4<q>`, `input->m2`, `m5->logits`.

The nodes of edge attribution patching and of MIB's circuits (Hanna et al., 2024; Mueller et
al., 2025): the input, heads `a{layer}.h{head}`, MLPs `m{layer}`, and the logits. A head reads
three ways, marked `<q>`, `<k>` and `<v>`.
"""

import re
from typing import Final

from ...circuit import Edge
from ...sites import head, HEAD_READS, Site, Unit


INPUT: Final = Site("full_embed").at()
LOGITS: Final = Site("logits").at()
EMBEDDINGS: Final = ("embed", "token_type_embed", "pos_embed", "full_embed")
NEURONS: Final = ("mlp_pre", "mlp_pre_linear", "mlp_post", "mlp_out")
ARROW: Final = "->"


def written(unit_or_edge: Unit | Edge) -> str:
    """What the literature calls it; a neuron goes by its MLP, an embedding table by the input."""
    if isinstance(unit_or_edge, Edge):
        return f"{written(unit_or_edge.sender)}{ARROW}{written(unit_or_edge.receiver)}"
    site, at = unit_or_edge.site, dict(unit_or_edge.coordinates)
    if site.name in EMBEDDINGS:
        return "input"
    if site.name in NEURONS:
        return f"m{site.layer}"
    if site.name == "logits":
        return "logits"
    if "head" in at and site.name in (*HEAD_READS, "z", "result"):
        read = f"<{site.name}>" if site.name in HEAD_READS else ""
        return f"a{site.layer}.h{at['head']}{read}"
    raise ValueError(
        f"{unit_or_edge} is no node of an edge graph: nodes are the embeddings, heads (at z, q, "
        f"k or v), MLPs (at {', '.join(NEURONS)}) and the logits"
    )


def edge(name: str) -> Edge:
    """The edge with this name: a sender at what it writes, a receiver at what it reads."""
    sender, arrow, receiver = name.partition(ARROW)
    if not arrow:
        raise ValueError(f"an edge is written as in 'a0.h1->a3.h4<q>'; found {name!r}")
    return Edge(_sender(sender), _receiver(receiver))


def _sender(name: str) -> Unit:
    if name == "input":
        return INPUT
    if found := re.fullmatch(r"a(\d+)\.h(\d+)", name):
        return head(int(found[1]), int(found[2]))
    if found := re.fullmatch(r"m(\d+)", name):
        return Site("mlp_out", int(found[1])).at()
    raise ValueError(f"a sender is 'input', a head 'a0.h1' or an MLP 'm2'; found {name!r}")


def _receiver(name: str) -> Unit:
    if name == "logits":
        return LOGITS
    if found := re.fullmatch(r"a(\d+)\.h(\d+)<([qkv])>", name):
        return head(int(found[1]), int(found[2]), found[3])
    if found := re.fullmatch(r"m(\d+)", name):
        return Site("mlp_pre", int(found[1])).at()
    raise ValueError(
        f"a receiver is 'logits', what a head reads ('a3.h4<q>') or an MLP 'm2'; found {name!r}"
    )
