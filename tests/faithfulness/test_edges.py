import random
from functools import partial

import pytest
import torch
from encoder_decoders import encoder_decoder, MONO, tokenizer
from one_word import one_word
from tiny import exact_norms, tiny

from crosslens import ablate, edge_attribution, load, path, plant, Site
from crosslens.attribution.edges.edge_names import edge, written
from crosslens.faithfulness import (
    connected,
    curve,
    Graph,
    keep_edges,
    keep_nodes,
    mean_over,
    nodes_of,
    ranked,
    sizes,
)


def from_nodes(graph, kept):
    """All edges that lead from the input or from some nodes."""
    senders = {graph.senders[0], *kept}
    return [each for each in graph.edges if each.sender in senders]


def test_all_edges_are_the_pass_itself_and_none_the_other(any_model, any_contrast):
    graph = Graph.of(any_model)
    found = keep_edges(any_model, any_contrast, [graph.edges, []])
    exactly = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)
    exactly(found.kept[0], any_model(any_contrast.more))
    exactly(found.kept[1], any_model(any_contrast.base))
    exactly(found.whole, found.kept[0])
    assert torch.equal(found.empty, found.kept[1]) and found.n_all == len(graph.edges)


def test_nodes_with_all_their_edges_are_a_circuit_of_nodes(any_model, any_contrast):
    graph, dice, everything = Graph.of(any_model), random.Random(1), nodes_of(any_model)
    kept = [dice.sample(everything, n) for n in (5, 10)]
    edges = [from_nodes(graph, some) for some in kept]
    for rest in (None, mean_over(any_model, any_contrast.base)):
        by_edge = keep_edges(any_model, any_contrast, edges, rest=rest).kept
        by_node = keep_nodes(any_model, any_contrast, kept, rest=rest).kept
        torch.testing.assert_close(by_edge, by_node, rtol=1e-10, atol=1e-10)


def test_some_heads_of_a_layer_keep_the_bias_that_each_has_for_a_distance():
    original = encoder_decoder().double()
    exact_norms(original)
    of_t5 = load(original, tokenizer(), template=MONO, relevant=("true", "false"))
    for model in (of_t5, load(*tiny("mpnet"))):
        contrast, some = one_word(model), [*model.heads()[1:3], *model.heads()[5:]]
        by_edge = keep_edges(model, contrast, [from_nodes(Graph.of(model), some)]).kept
        by_node = keep_nodes(model, contrast, [some]).kept
        torch.testing.assert_close(by_edge, by_node, rtol=1e-10, atol=1e-10)


PATHS = """
input->a2.h0<k> input->m1 a0.h2->a1.h3<v> a0.h1->m2 m0->m2 m1->a2.h0<q> a1.h1->a2.h2<k>
""".split()


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert"])
def test_one_edge_cut_is_path_patching_with_all_else_held(family, model_and_contrast):
    """The other way round: the run is the base's, and one edge carries what the source wrote."""
    model, contrast = model_and_contrast(family)
    with model.record(*model.sites()) as base:
        plain = model(contrast.base)
    with model.record(*model.sites()) as source:
        model(contrast.more)
    graph = Graph.of(model)
    cut = [[each for each in graph.edges if written(each) != name] for name in PATHS]
    found = keep_edges(model, contrast.reversed, cut).kept
    for name, scores in zip(PATHS, found, strict=True):
        sender, receiver = edge(name)
        readers = [receiver]
        if receiver.site.name == "mlp_pre" and family == "modernbert":  # its MLPs read twice
            readers.append(Site("mlp_pre_linear", receiver.site.layer).at())
        hooks = path(model, contrast.base, base, source, [sender], readers, held=("z", "mlp_out"))
        with model.hooked(*hooks):
            exact = model(contrast.base)
        assert (exact - plain).abs().max() > 1e-6, f"{name} does nothing: no test of it"
        torch.testing.assert_close(scores, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family", ["bert", "modernbert-mean"])
def test_between_nearly_equal_sides_an_edge_cut_is_its_attribution(family, model_and_contrast):
    model, contrast = model_and_contrast(family)
    (car,) = contrast.base.token[contrast.base.token != contrast.more.token].unique()
    (python,) = contrast.more.token[contrast.base.token != contrast.more.token].unique()
    apart = 1e-5
    with torch.no_grad():
        lot = torch.Generator().manual_seed(0)
        drawn = torch.randn(model.W_E.shape[1], generator=lot, dtype=torch.float64)
        model.W_E[python] = model.W_E[car] + apart * drawn
        model.head.out.weight /= apart
    effects = edge_attribution(model, contrast)
    largest = effects.strongest(5)
    everything = set(Graph.of(model).edges)
    restored = keep_edges(model, contrast, [everything - {each} for each in largest]).restored
    expected = torch.stack([effects.of(each) for each in largest])
    torch.testing.assert_close(1 - restored, expected, rtol=1e-3, atol=1e-4)


def test_an_edge_that_leads_nowhere_does_nothing(model, contrast):
    chain = ["input->a0.h1<v>", "a0.h1->m1", "m1->logits"]
    astray = ["input->a0.h2<k>", "a1.h0->m2", "input->m2", "a0.h1->a2.h3<q>"]
    one, other = keep_edges(model, contrast, [chain, [*chain, *astray]]).kept
    assert torch.equal(one, other)
    assert (one - model(contrast.base)).abs().min() > 1e-6


def test_cut_edges_carry_what_one_says(model, contrast):
    """With zero for every write, readers read what the biases and LayerNorms alone make."""
    found = keep_edges(model, contrast, [[], ["m2->logits"]], rest=ablate).kept
    steps, stream = model.replay(contrast.more), torch.zeros(2, 1, 24).double()
    with torch.no_grad():
        for layer in range(3):
            middle = steps.after_attention(layer, stream + model.blocks[layer].attn.out.bias)
            stream = steps.after_mlp(layer, middle)
        spoken = steps.after_mlp(2, middle + steps.mlp(2, middle))
        torch.testing.assert_close(found, torch.stack([*map(steps.score, (stream, spoken))]))


@pytest.mark.parametrize("seed", range(2))
def test_the_planted_edges_are_faithful_and_each_on_the_way_is_needed(seed, added_term):
    planted = plant(f"bm25?seed={seed}&layers=4&heads=3&decoys=3")
    model, contrast = added_term(planted)
    graph, dice = Graph.of(model), random.Random(seed)
    matching = "a{}.h{}".format(*planted.placement.matching)
    scoring = "a{}.h{}".format(*planted.placement.scoring)
    chain = {f"input->{matching}<k>", f"{matching}->{scoring}<v>", f"{scoring}->logits"}
    drawn = [dice.sample(graph.edges, len(planted.circuit.edges)) for _ in range(3)]
    without = [chain - {each} for each in sorted(chain)]
    found = keep_edges(model, contrast, [planted.circuit.edges, chain, *without, *drawn])
    torch.testing.assert_close(found.mean[:2], torch.ones(2), rtol=1e-3, atol=1e-3)
    assert found.mean[2:].abs().max() < 1e-3


def test_integrated_gradients_rank_the_planted_edges_first(added_term):
    model, contrast = added_term(plant("bm25?seed=1&layers=3&heads=3&decoys=3"), 3)
    size = sizes(edge_attribution(model, contrast, steps=6))
    best = curve(model, contrast, ranked(size), keep=keep_edges)
    assert best.cpr.nanmean() > 0.9 and best.cmd.nanmean() < 0.1
    greedy = connected(size)
    assert [len(circuit) for circuit in greedy] == [len(c) for c in best.of.circuits]
    assert keep_edges(model, contrast, greedy[-3:]).mean[0] > 0.99
    order = list(size)
    random.Random(0).shuffle(order)
    chance = curve(model, contrast, order, keep=keep_edges)
    assert chance.cpr.nanmean() < 0.6 and chance.cmd.nanmean() > 0.4


def test_a_connected_circuit_grows_from_the_logits():
    names = "input->logits m0->logits a0.h0->m0 input->m0 input->a0.h0<q> input->a0.h0<k>".split()
    size = dict(zip(map(edge, names), [0.1, -0.2, 0.9, 0.3, 0.8, 0.5], strict=True))
    grown = connected(size, [each / 6 for each in range(1, 7)])
    order = [written(*(more - less)) for less, more in zip([set(), *grown], grown, strict=False)]
    assert order == [names[i] for i in (1, 2, 4, 5, 3, 0)]


def test_pairs_run_some_at_a_time(model, contrast):
    circuits = [random.Random(0).sample(Graph.of(model).edges, 150)]
    reports = []
    alone = keep_edges(
        model, contrast, circuits * 2, at_once=1, progress=lambda *at: reports.append(at)
    )
    torch.testing.assert_close(alone.kept, keep_edges(model, contrast, circuits * 2).kept)
    assert reports[-1] == (1, 1) and list(alone.frame()["size"]) == [150] * 4


def test_what_is_no_edge_of_the_model_is_refused(model, contrast):
    for name, why in (
        ("m1->a0.h1<q>", "comes before m1: no such edge"),
        ("a0.h7->logits", "a0.h7 is no part of this model; did you mean a0.h"),
        ("a0.h1->m7", "m7 is no part of this model"),
    ):
        with pytest.raises(LookupError, match=why):
            keep_edges(model, contrast, [[name]])
    with pytest.raises(MemoryError, match="raise memory_budget"):
        keep_edges(model, contrast, [[]], memory_budget=1000)


def test_a_model_whose_heads_read_one_stream_is_refused(model, contrast):
    class Whole:
        """All that a method may ask, and no more."""

    names = (
        "sites heads hooked record tapped scored_row_only suffix relay block_outputs part_writes"
    )
    for name in names.split():
        setattr(Whole, name, staticmethod(getattr(model, name)))
    Whole.reads_scored_row, Whole.pad_token_id = model.reads_scored_row, model.pad_token_id
    Whole.is_hooked, Whole.is_causal, Whole.sizes = False, False, model.sizes
    Whole.device, Whole.dtype = model.device, model.dtype
    Whole.__call__ = lambda self, pairs: model(pairs)
    assert keep_nodes(Whole(), contrast, [[]]).n_all == 15
    with pytest.raises(TypeError, match="Whole has no `replay`.*keep_nodes needs none"):
        keep_edges(Whole(), contrast, [[]])
