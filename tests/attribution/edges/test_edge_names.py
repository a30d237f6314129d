import pytest

from crosslens import Edge, head, neuron, plant, Site
from crosslens.attribution.edges.edge_names import edge, written


NAMES = ["input->a0.h1<k>", "a0.h1->a3.h4<q>", "a10.h2->m10", "m2->a3.h0<v>", "m5->logits"]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_edges_are_the_same_thing(name):
    assert written(edge(name)) == name


def test_a_sender_writes_and_a_receiver_reads():
    assert edge("a0.h1->m2") == Edge(head(0, 1), Site("mlp_pre", 2).at())


def test_finer_units_go_by_the_node_they_belong_to():
    assert written(neuron(3, 17)) == "m3"
    assert written(Site("pos_embed").at()) == "input"
    edges = plant("bm25?seed=0").circuit.edges
    assert len({written(each) for each in edges}) == 8 < len(edges)
    gated = plant("causal?seed=0").circuit.edges  # whose neurons read twice
    assert {written(each) for each in gated} >= {"input->m1", "a1.h3->m1"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a0.h1", "an edge is written"),
        ("a0.h1<q>->m2", "a sender is"),
        ("m1->a0.h1", "a receiver is"),
        ("logits->m1", "a sender is"),
    ],
)
def test_what_is_no_edge_is_refused(name, says):
    with pytest.raises(ValueError, match=says):
        edge(name)
    with pytest.raises(ValueError, match="no node of an edge graph"):
        written(Site("resid_pre", 1).at())
