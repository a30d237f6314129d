"""Schemes of relevance neurons: baselines, targets, overlaps, and rankings without them."""

import numpy as np
import pandas as pd
import pytest
import torch
from ir_measures import Qrel
from tiny import tiny

from crosslens import Collection, CrossEncoder, load, NotMeasurable, Pairs, plant, Site
from crosslens.attribution import padding_baseline
from crosslens.neurons import (
    ablation_row,
    agreeing,
    baseline,
    BASELINES,
    ClassFlow,
    controls,
    gain_by_query,
    neuron_flow,
    Neurons,
    over_collections,
    overlap,
    preference,
    relevant_and_bm25,
    Scheme,
    scheme_sets,
    silence,
    silenced_scores,
    single_ablation,
    target,
    TARGETS,
    with_false_discoveries,
)
from crosslens.neurons.baselines import Baseline
from crosslens.stats import r_precision


@pytest.fixture
def neurons(model: CrossEncoder, pairs: Pairs) -> Neurons:
    return Neurons.of(model, pairs)


def flow_of(name: str, neurons: Neurons, seed: int, *, classes: str = "PN") -> ClassFlow:
    """Random flows in both halves of each class."""
    draw = np.random.default_rng(seed)
    rows = [
        {"class": kind, "half": half, "n": 2, "flow": draw.normal(size=len(neurons))}
        for kind in classes
        for half in (0, 1)
    ]
    return ClassFlow.of(name, neurons, [pd.DataFrame([row]) for row in rows])


# --- baselines and targets ------------------------------------------------------------


def test_a_baseline_replaces_what_it_does_not_keep(model: CrossEncoder, pairs: Pairs) -> None:
    with torch.no_grad(), model.record("embed") as cache:
        model(pairs)
    words, pad = cache[Site("embed")], model.W_E[model.pad_token_id].detach()
    parts = {"query": ("query",), "document": ("document",)}
    for name, begin in BASELINES.items():
        found, start = begin(model, pairs), name.split(" ")[0].rstrip(",")
        fill = torch.zeros_like(pad) if begin.fill == "zero" else pad
        special = pairs.where("cls", "sep1", "sep2")
        replaced = pairs.where(*parts[start]) if start in parts else ~special
        if name in ("padding", "zero"):
            replaced = torch.ones_like(special)
        assert torch.equal(found[~replaced], words[~replaced]), name
        assert torch.equal(found[replaced], fill.expand_as(found[replaced])), name
    with pytest.raises(LookupError, match="no baseline is called 'mask'; there are padding"):
        baseline("mask")


def test_padding_is_the_models_own_and_a_shape_of_other_pairs_is_refused(
    model: CrossEncoder, pairs: Pairs
) -> None:
    assert torch.equal(baseline("padding")(model, pairs), padding_baseline(model, pairs))
    start = padding_baseline(model, pairs)
    for wrong in (start[:, :-1], start[:1], start[..., :-1]):
        with pytest.raises(ValueError, match=r"the baseline has shape .*the word embeddings"):
            neuron_flow(model, pairs, wrong, steps=2)


def test_preference_is_p_of_relevant_less_p_of_other(model: CrossEncoder, pairs: Pairs) -> None:
    with torch.no_grad():
        p = torch.sigmoid(model(pairs))
    assert torch.allclose(preference(model, pairs), p - (1 - p), atol=1e-6)
    whole = Baseline("padding", ("cls", "sep1", "sep2", "query", "document"))
    assert torch.allclose(preference(model, pairs, whole), preference(model, pairs), atol=1e-6)
    alike = preference(model, pairs.take([0, 0]), baseline("padding"))
    assert alike[0] == alike[1]


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("name", TARGETS)
def test_the_flow_of_a_class_adds_up_to_the_change_of_its_target(name: str, labels: int) -> None:
    model = load(*tiny("bert", num_labels=labels))
    pairs = model.pair("why do cats purr", "cats purr when they rest", "the engine of a car")
    start = padding_baseline(model, pairs)
    outputs, flows = Neurons.of(model, pairs, ["resid_post"]), {}
    for is_relevant in (True, False):
        of = target(name, is_relevant=is_relevant)
        with torch.no_grad(), model.record("logits") as cache:
            whole = of(model(pairs), cache[Site("logits")])
        enter = (Site("embed"), lambda _: start)
        with torch.no_grad(), model.tapped([enter]), model.record("logits") as cache:
            change = whole - of(model(pairs), cache[Site("logits")])
        flow = neuron_flow(model, pairs, start, neurons=outputs, target=of, steps=96)
        last = outputs.layers == 2  # the output of a block is a full cut
        assert np.allclose(flow.values[:, last].sum(axis=1), change.numpy(), atol=2e-3)
        flows[is_relevant] = flow.values
    is_opposite = np.allclose(flows[True], -flows[False], atol=1e-5)
    assert is_opposite == (name != "logit" or labels == 1)
    with pytest.raises(LookupError, match="no target is called 'odds'"):
        target("odds", is_relevant=True)


def test_a_prediction_agrees_by_a_stated_threshold() -> None:
    scores, judged = np.array([-1.0, 0.5, 2.0, -3.0]), [True, True, True, False]
    assert [each.sum() for each in agreeing(scores, judged)] == [2, 1]
    assert [each.sum() for each in agreeing(scores, judged, threshold=1.0)] == [1, 1]
    assert [each.sum() for each in agreeing(scores, judged, threshold=-2.0)] == [3, 1]


# --- schemes and overlaps ---------------------------------------------------------------


def test_neurons_that_tie_are_not_chosen_by_their_place(neurons: Neurons) -> None:
    flow = np.zeros(len(neurons))
    flow[[3, 50]] = 1, 2
    assert np.flatnonzero(Scheme.top("P", neurons, flow, 0.1).chosen).tolist() == [3, 50]
    with pytest.raises(NotMeasurable, match="have the flow 0"):
        Scheme.top("P", neurons, np.zeros(len(neurons)), 0.1)
    with pytest.raises(ValueError, match="the flow of 1 is no number"):
        Scheme.top("P", neurons, np.where(flow == 2, np.nan, flow), 0.1)


def test_overlap_stands_beside_what_random_sets_share(neurons: Neurons) -> None:
    draw = np.random.default_rng(0)
    flows = draw.normal(size=(400, 2, len(neurons)))
    pairs = [
        [Scheme.top("P", neurons, flow, share) for flow, share in zip(two, (0.1, 0.2), strict=True)]
        for two in flows
    ]
    found = [overlap(both) for both in pairs]
    expected = len(pairs[0][0]) * len(pairs[0][1]) / len(neurons)
    assert found[0].expected == pytest.approx(expected)
    assert np.mean([each.common for each in found]) == pytest.approx(expected, rel=0.03)
    assert np.mean([each.share for each in found]) == pytest.approx(found[0].chance, rel=0.03)
    small = [each.p <= 0.05 for each in found if each.p is not None]
    assert len(small) == 400 and 0.0 < np.mean(small) < 0.08  # p is what it says, under the null
    same = overlap([pairs[0][0], pairs[0][0]])
    assert same.share == 1 and same.p is not None and same.p < 1e-20
    third = overlap([*pairs[0], pairs[1][0]])
    assert third.p is None and third.expected < expected
    nothing = Scheme("none", neurons, np.zeros(len(neurons), dtype=bool))
    assert overlap([nothing, pairs[0][0]]) == (0, 0.0, 0.0, 0.0, 1.0)


def test_mean_flow_is_over_all_pairs_of_a_class_and_of_each_half(neurons: Neurons) -> None:
    one, two = np.ones(len(neurons)), np.arange(len(neurons), dtype=float)
    parts = [
        pd.DataFrame([{"class": "P", "half": half, "n": n, "flow": flow}])
        for half, n, flow in ((0, 1, one), (1, 2, 2 * two), (0, 1, two))
    ]
    flow = ClassFlow.of("c", neurons, parts)
    assert np.allclose(flow.mean("P"), (one + 3 * two) / 4)
    assert np.allclose(flow.mean("P", 0), (one + two) / 2) and np.allclose(flow.mean("P", 1), two)
    assert flow.n("P") == 4 and flow.has_halves("P") and not flow.has("F")
    with pytest.raises(NotMeasurable, match="c: no other pair whose prediction agrees"):
        flow.mean("N")
    flat = ClassFlow.of("c", neurons, [parts[0]])
    assert "the target is flat" in flat.why_not("P")


def test_schemes_of_collections_are_intersected_and_fused(neurons: Neurons) -> None:
    flows = [flow_of("ms", neurons, 0), flow_of("a", neurons, 1), flow_of("b", neurons, 2)]
    schemes, omitted = scheme_sets(flows, 0.3)
    assert not omitted and len(schemes) == 10
    every = flows[0].top("N", 0.3) & flows[1].top("N", 0.3) & flows[2].top("N", 0.3)
    assert schemes["N all"].units == every.units
    outside = flows[1].top("F", 0.3) & flows[2].top("F", 0.3)
    assert schemes["F all OOD"].units == outside.units
    means = [flow.mean(kind) for flow in flows for kind in "PN"]
    mean = Scheme.top("x", neurons, np.mean(means, axis=0), 0.3)
    assert schemes["F (+) all"].units == mean.units
    few, why = scheme_sets([flows[0], flow_of("a", neurons, 1, classes="P")], 0.3)
    assert {*few} == {"P ms", "N ms", "F ms", "P all", "F (+) all"}
    assert why["N all"] == "1 collections have the class, two are needed"
    with pytest.raises(NotMeasurable, match="no collection has a flow"):
        scheme_sets([ClassFlow("x", neurons, {})], 0.3)
    with pytest.raises(ValueError, match="is 0 of them"):
        scheme_sets(flows, 1e-5)


# --- rankings ---------------------------------------------------------------------------


def small_collection() -> Collection:
    documents = {f"d{i}": text for i, text in enumerate(
        ("cats purr when they rest", "the engine of a car", "cats and a car", "a dog bark",
         "bananas are rich in potassium", "python is a large snake", "do cats sleep"))}  # fmt: skip
    return Collection(
        "small",
        {"q0": "why do cats purr", "q1": "what is a car", "q2": "what is the river"},
        documents,
        (Qrel("q0", "d0", 1), Qrel("q0", "d6", 1), Qrel("q1", "d1", 1), Qrel("q1", "d3", 0)),
    )


def test_candidates_are_relevant_documents_and_bm25s_best_others() -> None:
    texts = relevant_and_bm25(small_collection(), 2)
    assert {*texts.candidates} == {"q0", "q1"}, "no relevant document, no ranking"
    assert {*texts.candidates["q0"][:2]} == {"d0", "d6"}
    assert not {*texts.candidates["q0"][2:]} & {"d0", "d6"} and len(texts.candidates["q0"]) <= 4
    one = relevant_and_bm25(small_collection(), 2, relevant=1, seed=3)
    assert len([d for d in one.candidates["q0"] if d in ("d0", "d6")]) == 1
    assert [q.doc_id for q in one.qrels if q.query_id == "q0"] == [one.candidates["q0"][0]]
    with pytest.raises(ValueError, match="one relevant document and one other"):
        relevant_and_bm25(small_collection(), 0)
    with pytest.raises(NotMeasurable, match="no query with a document that is judged relevant"):
        relevant_and_bm25(small_collection().graded(lambda _: 0))


def test_silenced_scores_are_those_of_one_hooked_pass_for_each_scheme(
    model: CrossEncoder, pairs: Pairs, neurons: Neurons
) -> None:
    draw = np.random.default_rng(0)
    top = Scheme.top("P", neurons, draw.normal(size=len(neurons)), 0.1)
    none = Scheme("none", neurons, np.zeros(len(neurons), dtype=bool))
    schemes = [none, top, *controls(top, 2, seed=0), top]
    found = silenced_scores(model, pairs, schemes)
    for scheme, row in zip(schemes, found, strict=True):
        with torch.no_grad(), model.hooked(*silence(scheme)):
            assert np.allclose(row, model(pairs).numpy(), atol=1e-5)
    again = controls(top, 2, seed=0)
    assert all(a.units == b.units for a, b in zip(again, schemes[2:4], strict=True))
    assert controls(top, 1, seed=1)[0].units != again[0].units
    assert np.allclose(silenced_scores(model, pairs, [none])[0], found[0])


def test_the_change_of_ndcg_is_tested_over_queries_and_against_random_neurons() -> None:
    whole = np.array([1.0, 0.8, 0.6, 1.0])
    row = ablation_row(whole, whole - 0.2, np.stack([whole, whole - 0.1]))
    assert row["change"] == pytest.approx(-100 * 0.2 / 0.85) and row["p"] < 1e-6
    assert row["low"] == pytest.approx(row["high"]) and row["queries"] == 4
    assert row["control"] == pytest.approx(-100 * 0.05 / 0.85) and row["p_beyond"] < 1e-6
    same = ablation_row(whole, whole, np.stack([whole]))
    assert same["change"] == 0 and same["p"] == 1
    with pytest.raises(ValueError, match="0 on every query"):
        ablation_row(np.zeros(3), np.zeros(3), np.zeros((1, 3)))
    table = pd.DataFrame([row, same]).assign(scheme="P", share=0.1, neurons=3)
    adjusted = with_false_discoveries(table, ("p", "p_beyond"))
    assert (adjusted["p_fdr"] >= adjusted["p"]).all()
    (over,) = over_collections(adjusted).to_dict("records")
    assert over["collections"] == 2 and over["significant"] == over["beyond"] == 1
    assert over["change"] == pytest.approx(row["change"] / 2)


def test_gain_by_query_follows_the_order_of_scores() -> None:
    texts = relevant_and_bm25(small_collection(), 2)
    rows = pd.DataFrame(
        [(qid, docid) for qid, docs in texts.candidates.items() for docid in docs],
        columns=["qid", "docid"],
    )
    good = rows.apply(lambda row: texts.labels[row["qid"]].get(row["docid"], 0), axis=1)
    best = gain_by_query(rows, good.to_numpy(dtype=float), texts)
    worst = gain_by_query(rows, -good.to_numpy(dtype=float), texts)
    assert (best == 1).all() and (worst < 1).all() and list(best.index) == list(texts.candidates)


# --- ground truth -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7])
def test_conductance_and_ablation_put_the_planted_neurons_first_and_a_shuffle_does_not(seed):
    planted = plant(f"bm25?seed={seed}")
    model = load(planted)
    pairs = model.pair("canoe paddle", "a canoe needs a paddle and a road", "the bus of a canoe")
    # the length neuron fires at the last [SEP], so that must be on the path
    start = Baseline("padding", ("cls", "sep1", "query"))(model, pairs)
    inside = Neurons.of(model, pairs, ["mlp_pre"])
    flow = neuron_flow(model, pairs, start, neurons=inside, steps=24)
    by_flow = np.abs(flow.values).mean(axis=0)
    units = inside.units(range(len(inside)))
    by_ablation = single_ablation(model, pairs, units).abs().mean(dim=1).numpy()
    planted_at = {
        (unit.site.layer, dict(unit.coordinates)["neuron"])
        for each in planted.circuit.roles.values()
        for unit in each
        if unit.site.name == "mlp_post"
    }
    truth = np.array([(u.site.layer, dict(u.coordinates)["neuron"]) in planted_at for u in units])
    assert 0 < truth.sum() < len(truth)
    for effects in (by_flow, by_ablation):
        assert r_precision(effects, truth) == 1.0
        assert effects[~truth].max() < 1e-4 < 0.1 < effects[truth].min()
        shuffled = np.random.default_rng(seed).permutation(effects)
        assert r_precision(shuffled, truth) < 1.0


def test_a_dead_unit_has_no_flow_and_permuted_units_permute_it(model: CrossEncoder) -> None:
    original, tokenizer = tiny("bert")
    layer = original.bert.encoder.layer[1]
    with torch.no_grad():
        layer.output.dense.weight[:, 4] = 0  # nobody reads neuron 4
    model = load(original, tokenizer)
    pairs = model.pair("why do cats purr", "cats purr when they rest")
    inside = Neurons.of(model, pairs, ["mlp_pre"])
    before = neuron_flow(model, pairs, padding_baseline(model, pairs), neurons=inside, steps=8)
    dead = int(inside.numbers([Site("mlp_pre", 1).at(neuron=4)])[0])
    assert before.values[0, dead] == 0 and np.abs(before.values).max() > 0
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        inner, outer = layer.intermediate.dense, layer.output.dense
        inner.weight[:], inner.bias[:] = inner.weight[order], inner.bias[order]
        outer.weight[:] = outer.weight[:, order]
    model = load(original, tokenizer)
    after = neuron_flow(model, pairs, padding_baseline(model, pairs), neurons=inside, steps=8)
    here = inside.layers == 1
    assert np.allclose(after.values[0, here], before.values[0, here][order.numpy()], atol=1e-5)
