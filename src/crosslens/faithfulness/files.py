"""Circuits on disk, in the JSON that EAP-IG's `Graph` and MIB's leaderboard read and write.

    {"cfg":   {"n_layers": 6, "n_heads": 12, "parallel_attn_mlp": false, "d_model": 384},
     "nodes": {"input": {"in_graph": true}, "a0.h0": {"in_graph": false, "score": 0.1}, ...},
     "edges": {"input->a0.h0<q>": {"score": 0.3, "in_graph": true}, ...}}

What these files call a score is here an effect. Their readers want a number for every edge:
one that was not measured is written as 0.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..attribution.edges.edge_effects import EdgeEffects
from ..attribution.edges.edge_graph import edge, Graph, Part
from ..attribution.edges.edge_names import LOGITS, written
from ..circuit import Edge
from ..sites import near, Unit
from ..writing import write_whole


@dataclass(frozen=True, eq=False)
class SavedCircuit:
    """A circuit of edges, and how large each edge and node was found to be.

    Raises:
        ValueError: an edge or node that a model of this size does not have.
    """

    n_layers: int
    n_heads: int
    d_model: int
    edges: frozenset[Edge]  # the circuit
    effects: Mapping[Edge, float] = field(default_factory=dict)
    nodes: frozenset[Unit] = frozenset()  # those that write along its edges, or a file's own
    node_effects: Mapping[Unit, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known, senders = set(self.graph.edges), set(self.graph.senders)
        size = f"a model of {self.n_layers} layers with {self.n_heads} heads each"
        for each in (*self.edges, *self.effects):
            if each not in known:
                raise ValueError(f"{size} has no edge {written(each)}")
            require_finite(each, self.effects.get(each))
        for unit in (*self.nodes, *self.node_effects):
            if unit not in senders:
                raise ValueError(f"{size} has no node {written(unit)}")
            require_finite(unit, self.node_effects.get(unit))

    @classmethod
    def of(
        cls, effects: EdgeEffects, circuit: Iterable[Edge | str] = (), *, d_model: int
    ) -> "SavedCircuit":
        """The mean effect of every edge that was measured, and which of them are the circuit.

        Raises:
            ValueError: an effect is infinite, or a circuit's edge is none of the model's.
        """
        heads = sum("head" in dict(unit.coordinates) for unit in effects.senders)
        n_layers = len(effects.senders) - 1 - heads  # an MLP each
        mean = zip(effects.edges, effects.mean[effects.exists].tolist(), strict=True)
        edges = frozenset(map(edge, circuit))
        return cls(
            n_layers,
            heads // n_layers,
            d_model,
            edges,
            {part: effect for part, effect in mean if not math.isnan(effect)},
            frozenset(each.sender for each in edges),
        )

    @property
    def graph(self) -> Graph:
        """All that a model of this size has."""
        return Graph.sized(self.n_layers, self.n_heads)

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        nodes: dict[str, dict[str, Any]] = {}
        for unit in self.graph.senders:
            nodes[written(unit)] = {"in_graph": unit in self.nodes}
            if self.node_effects:
                nodes[written(unit)]["score"] = float(self.node_effects.get(unit, 0.0))
        nodes[written(LOGITS)] = {"in_graph": True}
        edges = {
            written(each): {
                "score": float(self.effects.get(each, 0.0)),
                "in_graph": each in self.edges,
            }
            for each in self.graph.edges
        }
        cfg = {
            "n_layers": self.n_layers,
            "n_heads": self.n_heads,
            "parallel_attn_mlp": False,
            "d_model": self.d_model,
        }
        whole = json.dumps({"cfg": cfg, "nodes": nodes, "edges": edges}, allow_nan=False)
        write_whole(Path(path), whole.encode())

    @classmethod
    def load(cls, path: str | Path) -> "SavedCircuit":
        """Read from a file.

        Raises:
            ValueError: names the file and the entry that is wrong, and what was expected.
        """
        file = Saved.read(Path(path))
        n_layers, n_heads, d_model = map(file.count, ("n_layers", "n_heads", "d_model"))
        if file.section("cfg").get("parallel_attn_mlp", False) is not False:
            raise file.wrong(
                "cfg",
                "parallel_attn_mlp",
                "false: the MLPs of these models read what the heads beside them write",
            )
        file.require_size(n_layers, n_heads)
        graph = Graph.sized(n_layers, n_heads)
        nodes = file.entries("nodes", (*graph.senders, LOGITS))
        edges = file.entries("edges", graph.edges)
        for unit, entry in nodes.items():
            if not all(entry.get("neurons", ())):
                raise file.wrong("nodes", written(unit), "a whole node, not some of its neurons")
        del nodes[LOGITS]
        return cls(
            n_layers,
            n_heads,
            d_model,
            frozenset(part for part, entry in edges.items() if entry["in_graph"]),
            file.effects("edges", edges),
            frozenset(part for part, entry in nodes.items() if entry["in_graph"]),
            file.effects("nodes", nodes),
        )


def require_finite(part: Part, effect: float | None) -> None:
    """Refuse an effect that JSON cannot hold.

    Raises:
        ValueError: names the part whose effect is infinite or nan.
    """
    if effect is not None and not math.isfinite(effect):
        raise ValueError(f"the effect of {written(part)} is {effect}, expected a finite number")


Known = TypeVar("Known", bound=Part)


@dataclass(frozen=True)
class Saved:
    """What a file holds, and errors that name the file and the entry."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Saved":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON ({str(error):.200})") from None
        if not isinstance(content, dict):
            raise ValueError(f"{path} holds a {type(content).__name__}, expected cfg, nodes, edges")
        return cls(path, content)

    def section(self, name: str) -> Mapping[str, Any]:
        """One of the three parts of the file."""
        found = self.content.get(name)
        if not isinstance(found, dict):
            raise ValueError(f"{self.path} has no {name!r} with entries by name")
        return found

    def count(self, name: str) -> int:
        """A size of the model."""
        found = self.section("cfg").get(name)
        if type(found) is not int or found < 1:
            raise self.wrong("cfg", name, "a number of at least 1")
        return found

    def require_size(self, n_layers: int, n_heads: int) -> None:
        """Refuse a model with more edges than the file has bytes, before its graph is built.

        Counted are the edges into q, k and v, from the input and every earlier head and MLP.
        """
        senders = n_layers + (n_heads + 1) * n_layers * (n_layers - 1) // 2
        if (n_edges := 3 * n_heads * senders) > self.path.stat().st_size:
            raise ValueError(
                f"{self.path}: cfg gives {n_layers} layers of {n_heads} heads, which have at least "
                f"{n_edges} edges; the file is too small to list them"
            )

    def entries(self, section: str, known: Iterable[Known]) -> dict[Known, Mapping[str, Any]]:
        """The entry of every part of the model; of none that it does not have."""
        found, part_of = self.section(section), {written(part): part for part in known}
        for name, entry in found.items():
            if name not in part_of:
                raise self.wrong(section, name, f"a part of the model; {near(name, part_of)}")
            if not isinstance(entry, dict) or not isinstance(entry.get("in_graph"), bool):
                raise self.wrong(section, name, 'a true or false "in_graph"')
        if missing := part_of.keys() - found:
            raise ValueError(
                f"{self.path}: {section} lacks {len(missing)} parts of the model, "
                f"{min(missing)!r} for one"
            )
        return {part_of[name]: entry for name, entry in found.items()}

    def effects(
        self, section: str, entries: Mapping[Known, Mapping[str, Any]]
    ) -> dict[Known, float]:
        """What the file calls scores, of the parts that have one."""
        found: dict[Known, float] = {}
        for part, entry in entries.items():
            value = entry.get("score")
            if value is None:
                continue
            if type(value) not in (int, float):
                raise self.wrong(section, written(part), 'a number as "score"')
            try:
                value = float(value)
            except OverflowError:  # a whole number of more digits than a float holds
                value = math.inf
            if math.isnan(value):  # EAP-IG's mark of what was not measured
                continue
            if math.isinf(value):
                raise self.wrong(section, written(part), 'a finite number as "score"')
            found[part] = value
        return found

    def wrong(self, section: str, name: str, expected: str) -> ValueError:
        """The error that names an entry, what it holds and what was expected."""
        found = json.dumps(self.section(section).get(name))
        return ValueError(f"{self.path}: {section}[{name!r}] is {found:.80}, expected {expected}")
