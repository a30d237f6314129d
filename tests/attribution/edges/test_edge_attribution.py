import pytest
import torch
from tiny import FAMILIES

from crosslens import (
    attribution_patching,
    Contrast,
    Edge,
    edge_attribution,
    head,
    load,
    path,
    plant,
    Site,
)
from crosslens.attribution.edges.edge_names import edge, written


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_edges_of_a_sender_add_up_to_its_node(family, steps, close):
    model, contrast = close(family, 0.3)
    effects = edge_attribution(model, contrast, steps=steps)
    nodes = attribution_patching(model, contrast, effects.senders, steps=steps)
    torch.testing.assert_close(
        effects.recovered.nansum(dim=1), nodes.recovered, rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert"])
def test_where_the_score_is_linear_an_edge_is_what_path_patching_finds(family, close):
    model, contrast = close(family)
    effects = edge_attribution(model, contrast)
    with model.record(*model.sites()) as base:
        plain = model(contrast.base)
    with model.record(*model.sites()) as source:
        target = model(contrast.more)
    largest = effects.recovered[effects.exists].abs().max().item()
    names = "input->a0.h1<q> input->a2.h0<k> input->m1 a0.h2->a1.h3<v> a0.h2->a2.h1<k> a1.h0->m1"
    for (
        name
    ) in f"{names} a0.h1->m2 m0->a1.h1<v> m0->m2 m1->a2.h0<q> a1.h1->a2.h2<k> m1->m2".split():
        sender, receiver = edge(name)
        readers = [receiver]
        if receiver.site.name == "mlp_pre" and family == "modernbert":  # its MLPs read twice
            readers.append(Site("mlp_pre_linear", receiver.site.layer).at())
        hooks = path(model, contrast.base, base, source, [sender], readers, held=("z", "mlp_out"))
        with model.hooked(*hooks):
            exact = (model(contrast.base) - plain) / (target - plain)
        assert exact.abs().max() > 1e-5 * largest, f"{name} does nothing: no test of it"
        torch.testing.assert_close(effects.of(name), exact, rtol=1e-3, atol=1e-5 * largest)


def changed(model, base: tuple[str, str], more: tuple[str, str]) -> Contrast:
    """Two pairs of a query and a document."""
    return Contrast.between(model.pair(*base), model.pair(*more), "changed")


def strong(effects) -> set[str]:
    return {written(each) for each in effects.edges if effects.of(each).abs() > 0.02}


@pytest.mark.parametrize("seed", range(3))
def test_integrated_gradients_find_the_planted_edges_and_no_others(seed):
    planted = plant(f"bm25?seed={seed}&layers={3 + seed % 3}&decoys=1&heads=3")
    model = load(planted)
    planted_edges = {written(each) for each in planted.circuit.edges}
    matching = "a{}.h{}".format(*planted.placement.matching)
    scoring = "a{}.h{}".format(*planted.placement.scoring)
    length = f"m{planted.placement.length[0]}"
    document = "the heart of a snake and a doctor"

    # a term of the query comes into the document
    added = changed(
        model, ("heart doctor", "the heart of a snake and a market"), ("heart doctor", document)
    )
    chain = {f"{matching}->{scoring}<v>", f"{scoring}->logits"}
    in_document = strong(edge_attribution(model, added, steps=16))
    assert in_document == {f"input->{matching}<k>", *chain}
    # a term of the document comes into the query
    asked = changed(model, ("heart market", document), ("heart doctor", document))
    in_query = strong(edge_attribution(model, asked, steps=16))
    assert in_query == {f"input->{matching}<q>", *chain}
    # the query asks for a rarer term; the document has both as often
    rarer = changed(model, ("heart of", document), ("heart doctor", document))
    in_rarity = strong(edge_attribution(model, rarer, steps=16))
    assert in_rarity == {f"input->{matching}<q>", f"input->{scoring}<k>", f"{scoring}->logits"}

    # what reads segments and positions reads the same on both sides of any contrast
    in_common = {f"input->{length}", f"{length}->{matching}<k>", f"input->{matching}<v>"}
    assert in_document | in_query | in_rarity | in_common == planted_edges


def test_the_slope_at_the_base_alone_misjudges_what_passes_a_saturated_softmax():
    planted = plant("bm25?seed=0&decoys=3")
    model = load(planted)
    edge = "input->a{}.h{}<k>".format(*planted.placement.matching)
    contrast = changed(
        model,
        ("heart doctor", "the heart of a snake and a market"),
        ("heart doctor", "the heart of a snake and a doctor"),
    )
    assert edge_attribution(model, contrast).of(edge).abs() < 1e-3
    on_the_way = edge_attribution(model, contrast, steps=32).of(edge)
    torch.testing.assert_close(on_the_way, torch.ones(1), rtol=0.05, atol=0)


def test_edges_are_named_ranked_and_tabled(apart):
    model, contrast = apart
    effects = edge_attribution(model, contrast)
    n = effects.exists.sum()
    assert len(effects.edges) == n == effects.recovered[:, :, 0].isfinite().sum()
    best = effects.strongest(3)
    sizes = [effects.of(each).mean().abs() for each in best]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == effects.mean.abs().nan_to_num().max()
    frame = effects.frame()
    assert len(frame) == n * len(contrast) and not frame.isna().any(axis=None)
    some = frame[(frame["edge"] == "a0.h1->a2.h3<q>") & (frame["pair"] == 1)]
    assert some["recovered"].item() == pytest.approx(effects.of("a0.h1->a2.h3<q>")[1].item())
    alone = edge_attribution(model, contrast, at_once=1)
    torch.testing.assert_close(alone.recovered, effects.recovered, equal_nan=True)


def test_edges_that_do_not_exist_are_refused(apart):
    model, contrast = apart
    effects = edge_attribution(model, contrast)
    with pytest.raises(LookupError, match="comes before m1: no such edge"):
        effects.of("m1->a0.h1<q>")
    with pytest.raises(LookupError, match="a0.h7 is no end of these edges; did you mean a0.h"):
        effects.of("a0.h7->logits")
    with pytest.raises(LookupError, match="is no end of these edges"):
        effects.of(Edge(head(0, 1), Site("mlp_pre", 1).at(neuron=3)))
    with pytest.raises(MemoryError, match="raise memory_budget"):
        edge_attribution(model, contrast, memory_budget=1000)
