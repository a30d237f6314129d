import json
from dataclasses import replace

import pytest
import torch

from crosslens import edge_attribution, head, Site
from crosslens.attribution.edges.edge_names import edge, INPUT
from crosslens.faithfulness import Graph, SavedCircuit


@pytest.fixture
def saved(model, contrast, tmp_path):
    """A circuit of a tiny model, on disk."""
    effects = edge_attribution(model, contrast)
    circuit = SavedCircuit.of(effects, effects.strongest(9), d_model=model.cfg.d_model)
    circuit.save(tmp_path / "circuit.json")
    return effects, circuit, tmp_path / "circuit.json"


def test_a_circuit_comes_back_as_it_was_saved(saved):
    effects, circuit, path = saved
    again = SavedCircuit.load(path)
    assert vars(again) == vars(circuit)
    assert again.edges == set(effects.strongest(9)) and len(again.effects) == len(effects.edges)
    largest = effects.strongest(1)[0]
    torch.testing.assert_close(again.effects[largest], float(effects.of(largest).nanmean()))


def test_the_file_is_what_eap_ig_reads(saved):
    """Its `Graph.from_json` wants these keys, every node and every edge by these names."""
    effects, circuit, path = saved
    file = json.loads(path.read_text())
    assert file["cfg"] == {
        "n_layers": 3,
        "n_heads": 4,
        "parallel_attn_mlp": False,
        "d_model": 24,
    }
    assert set(file["nodes"]) == {
        *("input", "logits", "m0", "m1", "m2"),
        *(f"a{layer}.h{i}" for layer in range(3) for i in range(4)),
    }
    # who reads whom, counted by hand: q, k and v of every head, the MLPs, the logits
    before = {0: 1, 1: 6, 2: 11}
    assert len(file["edges"]) == sum(12 * n + n + 4 for n in before.values()) + 16
    strongest = effects.strongest(1)[0]
    name = next(n for n in file["edges"] if edge(n) == strongest)
    assert file["edges"][name]["in_graph"] is True and "score" in file["edges"][name]
    assert sum(each["in_graph"] for each in file["edges"].values()) == 9


def test_an_effect_that_no_pair_could_measure_is_left_out_and_an_infinite_one_refused(saved):
    """In a contrast of flat pairs alone every effect is nan."""
    effects, circuit, _ = saved
    flat = replace(effects, recovered=torch.full_like(effects.recovered, torch.nan))
    unknown = SavedCircuit.of(flat, effects.strongest(9), d_model=24)
    assert unknown.effects == {} and unknown.edges == circuit.edges
    infinite = replace(effects, recovered=effects.recovered + torch.inf)
    with pytest.raises(ValueError, match="is inf, expected a finite number"):
        SavedCircuit.of(infinite, d_model=24)


def test_what_was_not_measured_is_written_as_0_and_nodes_keep_their_effects(tmp_path):
    chain = frozenset(map(edge, ("input->a0.h1<v>", "a0.h1->logits")))
    node_effects = {head(0, 1): 0.5, Site("mlp_out", 1).at(): -0.25, INPUT: 1.0}
    mine = SavedCircuit(2, 2, 8, chain, {edge("m1->logits"): -1.5}, frozenset(), node_effects)
    mine.save(tmp_path / "mine.json")
    again = SavedCircuit.load(tmp_path / "mine.json")
    assert again.edges == chain and set(again.effects) == set(Graph.sized(2, 2).edges)
    assert again.effects[edge("m1->logits")] == -1.5 and again.effects[edge("m0->m1")] == 0
    assert again.node_effects[head(0, 1)] == 0.5 and again.node_effects[head(1, 1)] == 0


def change(section, name, value):
    def changed(file):
        file[section][name] = value

    return changed


def drop(section, name):
    def dropped(file):
        del file[section][name]

    return dropped


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (change("edges", "a0.h1->a9.h0<q>", {"score": 0, "in_graph": True}), r"a9.h0<q>'\] is"),
        (change("edges", "m1->a0.h1<q>", {"score": 0, "in_graph": True}), "a part of the model"),
        (change("edges", "m1->m2", {"score": 1}), r"edges\['m1->m2'\].*true or false \"in_graph\""),
        (change("edges", "m1->m2", {"score": "x", "in_graph": True}), r"'m1->m2'.*a number as"),
        (drop("edges", "m1->m2"), "edges lacks 1 parts of the model, 'm1->m2' for one"),
        (change("nodes", "a0.h9", {"in_graph": True}), r"nodes\['a0.h9'\].*did you mean a0.h"),
        (
            change("nodes", "m1", {"in_graph": True, "neurons": [True, False]}),
            r"nodes\['m1'\].*a whole node, not some of its neurons",
        ),
        (change("cfg", "n_heads", 0), r"cfg\['n_heads'\] is 0, expected a number of at least 1"),
        (change("cfg", "parallel_attn_mlp", True), r"cfg\['parallel_attn_mlp'\] is true"),
        (lambda file: file.pop("nodes"), "has no 'nodes' with entries by name"),
    ],
)
def test_a_wrong_entry_is_named(saved, edit, why):
    *_, path = saved
    file = json.loads(path.read_text())
    edit(file)
    path.write_text(json.dumps(file))
    with pytest.raises(ValueError, match=why) as error:
        SavedCircuit.load(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match="x.json is not JSON"):
        SavedCircuit.load(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[" * 90_000)
    with pytest.raises(ValueError, match="x.json is not JSON"):
        SavedCircuit.load(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ValueError, match="holds a list, expected cfg, nodes, edges"):
        SavedCircuit.load(tmp_path / "x.json")
    with pytest.raises(ValueError, match="2 layers with 2 heads each has no edge m1->a5.h0<q>"):
        SavedCircuit(2, 2, 8, frozenset([edge("m1->a5.h0<q>")]))
    with pytest.raises(ValueError, match="has no node a0.h5"):
        SavedCircuit(2, 2, 8, frozenset(), nodes=frozenset([head(0, 5)]))


def test_a_score_that_is_nan_was_not_measured(saved):
    *_, path = saved
    file = json.loads(path.read_text())
    file["edges"]["m1->m2"]["score"] = float("nan")
    path.write_text(json.dumps(file))
    assert edge("m1->m2") not in SavedCircuit.load(path).effects


@pytest.mark.parametrize("score", [float("inf"), float("-inf"), 10**400])
def test_a_score_that_is_infinite_is_refused_with_its_name(saved, score):
    effects, circuit, path = saved
    content = json.loads(path.read_text())
    name = next(iter(content["edges"]))
    content["edges"][name]["score"] = score
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"edges.*{name}.*finite"):
        SavedCircuit.load(path)
    with pytest.raises(ValueError, match="m1->logits.*finite"):
        SavedCircuit(2, 2, 8, frozenset(), {edge("m1->logits"): float("inf")})


def test_a_size_that_the_file_cannot_hold_is_refused_before_the_graph_is_built(saved):
    path = saved[2]
    content = json.loads(path.read_text())
    content["cfg"]["n_heads"] = 10**6
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="1000000 heads.*too small"):
        SavedCircuit.load(path)
