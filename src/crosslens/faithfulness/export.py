"""Circuits for others' viewers: the graph JSON of circuit-tracer, and DOT.

    {"metadata": {"slug": …, "scan": …, "prompt": …, "prompt_tokens": […], …},
     "qParams":  {"pinnedIds": […], "supernodes": [["matching", "1_7_0", …], …], …},
     "nodes":    [{"node_id": "1_7_0", "layer": "1", "ctx_idx": 0, "clerp": "a1.h7", …}, …],
     "links":    [{"source": "1_7_0", "target": "2_0_0", "weight": 0.3}, …]}

circuit-tracer (https://github.com/safety-research/circuit-tracer, `graph_models.py`) draws features
of transcoders at token positions. A circuit here is of heads and MLPs, whatever the pair: a node
stands at the first of the tokens that it names, or at the scored row, and says in its
`feature_type` that it is no feature. Roles are the supernodes. The q, k and v edges between two
nodes are one link, whose weight is the sum of their effects; of edges that nobody measured, 1.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..attribution.edges.edge_names import written
from ..circuit import Circuit, Edge
from ..pairs import NOWHERE, Pairs, Segment
from ..sites import Unit
from ..writing import write_whole
from .files import SavedCircuit


MEANING: Final = {"embedding": "the embeddings of all tokens", "logit": "the score"}


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a circuit: its nodes by name, who reads whom and how much, and its roles."""

    nodes: Mapping[str, Unit]
    links: Mapping[tuple[str, str], float]
    roles: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, circuit: Circuit | SavedCircuit) -> "Drawn":
        roles = circuit.roles if isinstance(circuit, Circuit) else {}
        effects = circuit.effects if isinstance(circuit, SavedCircuit) else {}
        units = [unit for members in roles.values() for unit in members]
        ends = [unit for edge in circuit.edges for unit in edge]
        more = circuit.nodes if isinstance(circuit, SavedCircuit) else ()
        nodes: dict[str, Unit] = {}
        for unit in sorted({*units, *more, *ends}, key=lambda each: (each.site.depth, str(each))):
            nodes.setdefault(name_of(unit), unit)
        links: dict[tuple[str, str], float] = {}
        for edge in sorted(circuit.edges, key=str):
            ends_of = name_of(edge.sender), name_of(edge.receiver)
            links[ends_of] = links.get(ends_of, 0.0) + weight(edge, effects)
        named = {
            role: tuple(dict.fromkeys(map(name_of, sorted(members, key=str))))
            for role, members in roles.items()
        }
        return cls(nodes, links, named)


def name_of(unit: Unit) -> str:
    """A node as the literature writes it, `a1.h7`; a part of the stream as it prints."""
    try:
        return written(unit).partition("<")[0]
    except ValueError:
        return str(unit)


def weight(edge: Edge, effects: Mapping[Edge, float]) -> float:
    """The effect of an edge; 1 where none was measured."""
    return float(effects.get(edge, math.nan)) if effects else 1.0


def circuit_tracer_graph(
    circuit: Circuit | SavedCircuit, pair: Pairs, *, name: str = "", model: str = ""
) -> dict[str, Any]:
    """The circuit over the tokens of one pair, as circuit-tracer's graph JSON.

    Args:
        name: what the viewer calls the graph; the circuit's own name by default.
        model: the checkpoint; the circuit's own by default.

    Raises:
        ValueError: several pairs, no node, or an edge of a measured circuit without an effect.
    """
    if len(pair) != 1:
        raise ValueError(f"a graph has one prompt, not {len(pair)}: give pairs.take([0])")
    drawn = Drawn.of(circuit)
    if not drawn.nodes:
        raise ValueError("the circuit has no unit and no edge: there is nothing to draw")
    unmeasured = [f"{a}->{b}" for (a, b), effect in drawn.links.items() if math.isnan(effect)]
    if unmeasured:
        raise ValueError(
            f"{len(unmeasured)} edges of the circuit have no effect, {unmeasured[0]} for one; "
            "others have one"
        )
    last = 1 + max([unit.site.layer or 0 for unit in drawn.nodes.values()])
    if isinstance(circuit, SavedCircuit):
        last = circuit.n_layers
    feature = {each: i for i, each in enumerate(drawn.nodes)}
    nodes = {
        each: graph_node(each, unit, pair, last, feature[each])
        for each, unit in drawn.nodes.items()
    }
    given = circuit if isinstance(circuit, Circuit) else None
    tokens = tokens_of(pair)
    title = name or (given.name if given else "circuit")
    return {
        "metadata": {
            "slug": re.sub(r"[^\w-]+", "-", title).strip("-"),
            "scan": model or (given.checkpoint if given else ""),
            "transcoder_list": [],
            "prompt_tokens": tokens,
            "prompt": f"{pair.query[0]} {pair.document[0]}",
            "node_threshold": None,
            "schema_version": 1,
        },
        "qParams": {
            "pinnedIds": [each["node_id"] for each in nodes.values()],
            "supernodes": [
                [role, *(nodes[each]["node_id"] for each in members)]
                for role, members in drawn.roles.items()
                if members
            ],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": list(nodes.values()),
        "links": [
            {"source": nodes[a]["node_id"], "target": nodes[b]["node_id"], "weight": effect}
            for (a, b), effect in drawn.links.items()
        ],
    }


def graph_node(name: str, unit: Unit, pair: Pairs, last: int, feature: int) -> dict[str, Any]:
    """One node, at the first of the tokens that its unit names."""
    kind = kind_of(name)
    inside = last if unit.site.layer is None else unit.site.layer
    layer = {"embedding": "E", "logit": str(last + 1)}.get(kind, str(inside))
    place = position(unit, pair)
    return {
        "node_id": f"{layer}_{feature}_{place}",
        "jsNodeId": f"{layer}_{feature}-{place}",
        "feature": feature,
        "layer": layer,
        "ctx_idx": place,
        "reverse_ctx_idx": 0,
        "run_idx": 0,
        "feature_type": kind,
        "token_prob": 0.0,  # of a token that is predicted; a reranker predicts none
        "is_target_logit": kind == "logit",
        "clerp": MEANING.get(kind, str(unit) if unit.named else name),
        "influence": None,
        "activation": None,
    }


def kind_of(name: str) -> str:
    """What a node is, by its name in the literature."""
    if name in ("input", "logits"):
        return {"input": "embedding", "logits": "logit"}[name]
    if re.fullmatch(r"a\d+\.h\d+", name):
        return "attention head"
    return "MLP" if re.fullmatch(r"m\d+", name) else "state"


def position(unit: Unit, pair: Pairs) -> int:
    """The first of the tokens that a unit names, or the scored row.

    Raises:
        LookupError: no token of the pair has one of these names.
    """
    at = dict(unit.coordinates)
    where = at.get("pos", at.get("dst"))
    if isinstance(where, int):
        return where
    if isinstance(where, str):
        found = pair.where(where)[0].nonzero().flatten().tolist()
        if not found:
            raise LookupError(f"{unit}: the pair has no token called {where!r}")
        return found[0]
    scored = int(pair.scored[0])
    return scored if scored != NOWHERE else int(pair.lengths[0]) - 1


def tokens_of(pair: Pairs) -> list[str]:
    """The tokens of one pair as its texts have them; a special token by its segment, [CLS]."""
    texts = {Segment.QUERY: pair.query[0], Segment.DOCUMENT: pair.document[0]}
    found = []
    for segment, (start, end) in zip(
        map(Segment, pair.segment[0].tolist()), pair.span[0].tolist(), strict=True
    ):
        if segment is not Segment.PAD:
            text = texts[segment][start:end] if segment in texts else f"[{segment.name[:3]}]"
            found.append(text)
    return found


def save_circuit_tracer(
    circuit: Circuit | SavedCircuit,
    pair: Pairs,
    path: str | Path,
    *,
    name: str = "",
    model: str = "",
) -> Path:
    """`circuit_tracer_graph` as a file, whole or not at all."""
    graph = circuit_tracer_graph(circuit, pair, name=name, model=model)
    return write_whole(Path(path), json.dumps(graph, allow_nan=False, ensure_ascii=False).encode())


def dot(circuit: Circuit | SavedCircuit) -> str:
    """The circuit in DOT, the language of Graphviz: read from bottom to top, roles as clusters.

    Measured edges carry their effect, summed over q, k and v; negative ones are dashed.
    """
    drawn = Drawn.of(circuit)
    measured = isinstance(circuit, SavedCircuit) and bool(circuit.effects)
    lines = ["digraph circuit {", "  rankdir=BT;", "  node [shape=box];"]
    in_role: set[str] = set()
    for i, (role, members) in enumerate(drawn.roles.items()):
        lines += [f"  subgraph cluster_{i} {{", f"    label={quoted(role)};"]
        lines += [f"    {quoted(each)};" for each in members if each not in in_role]
        in_role |= {*members}
        lines.append("  }")
    lines += [f"  {quoted(each)};" for each in drawn.nodes if each not in in_role]
    for (sender, receiver), effect in drawn.links.items():
        shown = f" [label={quoted(f'{effect:.3g}')}{style(effect)}]" if measured else ""
        lines.append(f"  {quoted(sender)} -> {quoted(receiver)}{shown};")
    return "\n".join([*lines, "}"]) + "\n"


def style(effect: float) -> str:
    return ", style=dashed" if effect < 0 else ""


def quoted(text: str) -> str:
    """A DOT string: quotation marks and backslashes escaped, on one line."""
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'
