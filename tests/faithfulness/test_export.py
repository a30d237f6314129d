"""Circuits as others draw them: the fields that their viewers read, and nothing lost."""

import copy
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from crosslens import Circuit, Edge, edge_attribution, head, load, plant, SavedCircuit, Site
from crosslens.attribution.edges.edge_names import edge, written
from crosslens.faithfulness import circuit_tracer_graph, dot, save_circuit_tracer


SCHEMA = json.loads((Path(__file__).parent / "circuit_tracer.schema.json").read_text())
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def faults(value, schema, at="graph") -> list[str]:
    """What of the part of JSON Schema that the file uses a value breaks."""
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    is_kind = [
        isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
        for kind in kinds
    ]
    if not any(is_kind):
        return [f"{at} is {value!r:.40}, no {kinds}"]
    found = []
    if isinstance(value, dict):
        known = schema["properties"]
        found += [f"{at} lacks {name}" for name in schema["required"] if name not in value]
        found += [f"{at} has {name}" for name in value if name not in known]
        for name in value.keys() & known.keys():
            found += faults(value[name], known[name], f"{at}.{name}")
    if isinstance(value, list):
        for i, each in enumerate(value):
            found += faults(each, schema["items"], f"{at}[{i}]")
    return found


@pytest.fixture
def saved(model, contrast) -> SavedCircuit:
    effects = edge_attribution(model, contrast)
    return SavedCircuit.of(effects, effects.strongest(12), d_model=model.cfg.d_model)


@pytest.fixture
def pair(contrast):
    return contrast.more.take([1])


def test_a_measured_circuit_has_the_fields_of_circuit_tracer(saved, pair):
    graph = circuit_tracer_graph(saved, pair, name="one word!", model="tiny")
    assert faults(graph, SCHEMA) == []
    assert graph["metadata"]["slug"] == "one-word" and graph["metadata"]["scan"] == "tiny"
    ids = [node["node_id"] for node in graph["nodes"]]
    assert len(set(ids)) == len(ids)
    assert {end for link in graph["links"] for end in (link["source"], link["target"])} <= {*ids}
    expected = Counter()
    for each in saved.edges:
        ends = written(each).replace("<q>", "").replace("<k>", "").replace("<v>", "")
        expected[ends] += saved.effects[each]
    name = {node["node_id"]: node["clerp"] for node in graph["nodes"]}
    name = {
        i: {"the score": "logits"}.get(n, "input" if "embed" in n else n) for i, n in name.items()
    }
    found = {f"{name[e['source']]}->{name[e['target']]}": e["weight"] for e in graph["links"]}
    assert found == pytest.approx(dict(expected))


def test_the_check_finds_each_kind_of_fault(saved, pair):
    graph = circuit_tracer_graph(saved, pair)

    def broken(change) -> list[str]:
        other = copy.deepcopy(graph)
        change(other)
        return faults(other, SCHEMA)

    assert broken(lambda g: g.pop("links")) == ["graph lacks links"]
    assert broken(lambda g: g["nodes"][0].update(ctx_idx="0"))
    assert broken(lambda g: g["nodes"][0].update(layer=True))
    assert broken(lambda g: g["links"][0].update(weight=None))
    assert broken(lambda g: g["metadata"].update(more=1)) == ["graph.metadata has more"]


def test_jsonschema_itself_agrees(saved, pair):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(circuit_tracer_graph(saved, pair), SCHEMA)


def test_roles_are_supernodes_and_tokens_are_those_of_the_pair():
    planted = plant("bm25")
    model = load(planted)
    pair = model.pair("boat river", "a boat on the river")
    graph = circuit_tracer_graph(planted.circuit, pair)
    assert faults(graph, SCHEMA) == []
    assert graph["metadata"]["prompt_tokens"] == [
        *("[CLS]", "boat", "river", "[SEP]", "a", "boat", "on", "the", "river", "[SEP]")
    ]
    roles = {role: members for role, *members in graph["qParams"]["supernodes"]}
    assert roles.keys() == planted.circuit.roles.keys()
    [scoring] = roles["relevance scoring"]
    [unit] = planted.circuit.roles["relevance scoring"]
    node = next(node for node in graph["nodes"] if node["node_id"] == scoring)
    assert node["clerp"] == written(unit) and node["layer"] == str(unit.site.layer)
    assert node["feature_type"] == "attention head" and node["ctx_idx"] == 0
    assert {link["weight"] for link in graph["links"]} >= {1.0}, "nobody measured its edges"


def test_a_unit_that_names_tokens_stands_at_the_first_of_them(pair):
    at_document = Site("z", 1).at(head=2, pos="document")
    roles = {"reads": frozenset({at_document, Site("resid_post", 0).at(pos=3)})}
    graph = circuit_tracer_graph(Circuit("places", "tiny", roles, "a test"), pair)
    places = {node["clerp"]: (node["ctx_idx"], node["feature_type"]) for node in graph["nodes"]}
    first = int(pair.where("document")[0].nonzero()[0])
    assert places == {
        str(at_document): (first, "attention head"),
        "0.resid_post[pos=3]": (3, "state"),
    }
    wrong = Circuit("places", "tiny", {"a": frozenset({Site("z", 1).at(pos="Q+")})}, "a test")
    with pytest.raises(LookupError, match="Q+"):
        circuit_tracer_graph(wrong, pair)


def test_a_file_holds_the_graph(saved, pair, tmp_path):
    path = save_circuit_tracer(saved, pair, tmp_path / "graph.json", name="g")
    assert json.loads(path.read_text()) == circuit_tracer_graph(saved, pair, name="g")


def test_what_cannot_be_drawn_is_refused(saved, contrast, pair):
    with pytest.raises(ValueError, match="one prompt, not 2"):
        circuit_tracer_graph(saved, contrast.more)
    with pytest.raises(ValueError, match="nothing to draw"):
        circuit_tracer_graph(Circuit("none", "tiny", {}, "a test"), pair)
    edges = frozenset(map(edge, ("input->a0.h1<q>", "m0->logits")))
    effects = {edge("input->a0.h1<q>"): 0.5}
    with pytest.raises(ValueError, match="1 edges of the circuit have no effect, m0->logits"):
        circuit_tracer_graph(SavedCircuit(3, 4, 24, edges, effects), pair)


def test_dot_has_every_node_every_link_and_every_role_as_a_cluster(saved):
    text = dot(saved)
    arrows = re.findall(r'^  "(\S+)" -> "(\S+)" \[label="(\S+)"(, style=dashed)?\];$', text, re.M)
    assert len(arrows) == len({(a, b) for a, b, *_ in arrows}) > 0
    for _, _, effect, dashed in arrows:
        assert (float(effect) < 0) == bool(dashed)
    circuit = Circuit(
        'a "name"',
        "tiny",
        {'says "so"': frozenset({head(0, 1)}), "reads": frozenset({head(1, 0)})},
        "a test",
        frozenset({Edge(head(0, 1), head(1, 0, "q")), Edge(head(0, 1), head(1, 0, "k"))}),
    )
    text = dot(circuit)
    assert text.count("subgraph") == 2 and 'label="says \\"so\\""' in text
    assert text.count('"a0.h1" -> "a1.h0";') == 1
    assert text.count("{") == text.count("}")
