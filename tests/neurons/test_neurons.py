"""Neurons keep their names from flow to ablation, and planted ones come first."""

import numpy as np
import pytest
import torch

from crosslens import CrossEncoder, load, Pairs, Site
from crosslens.attribution import padding_baseline
from crosslens.neurons.neuron_flow import agreeing, neuron_flow
from crosslens.neurons.neurons import Neurons
from crosslens.neurons.schemes import intersection, Scheme
from crosslens.neurons.silencing import silence, single_ablation
from crosslens.not_measurable import NotMeasurable


@pytest.fixture
def neurons(model: CrossEncoder, pairs: Pairs) -> Neurons:
    return Neurons.of(model, pairs)


def test_every_neuron_has_one_name_and_one_number(neurons: Neurons) -> None:
    # three layers of q, k, v, attention output: 24 each; MLP 20 in, 24 out
    assert len(neurons) == 3 * (4 * 24 + 20 + 24)
    everything = list(range(len(neurons)))
    units = neurons.units(everything)
    assert len(set(units)) == len(units)
    assert neurons.numbers(units).tolist() == everything
    assert neurons.table()["n"].sum() == len(neurons)
    at = neurons.units([0])[0]
    assert str(at) == "0.q[d_head=0,head=0]"


def test_numbers_go_back_to_their_sites(neurons: Neurons) -> None:
    values = np.arange(len(neurons), dtype=np.float32)
    parts = neurons.split(values)
    together = {site: torch.tensor(part)[None] for site, part in parts.items()}
    assert (neurons.gather(together)[0] == values).all()
    with pytest.raises(ValueError, match="3 numbers for"):
        neurons.split(values[:3])
    with pytest.raises(LookupError, match="no neuron 9999"):
        neurons.units([9999])
    with pytest.raises(LookupError, match="is no neuron"):
        neurons.numbers([Site("embed").at()])


def test_a_scheme_is_the_top_and_meets_others(neurons: Neurons) -> None:
    flow = np.arange(len(neurons), dtype=float)
    up, down = (Scheme.top(n, neurons, f, 0.05) for n, f in (("P", flow), ("N", -flow)))
    assert len(up) == round(0.05 * len(neurons)) and up.chosen[-1] and not up.chosen[0]
    assert len(up & down) == 0 and up.overlap(down) == 0.0
    assert (up & up).chosen.tolist() == up.chosen.tolist() and up.overlap(up) == 1.0
    assert len(intersection("both", [up, Scheme.top("all", neurons, flow, 1.0)])) == len(up)
    fused = Scheme.fused("P (+) N", neurons, [flow, -2 * flow], 0.05)
    assert fused.chosen.tolist() == down.chosen.tolist()
    with pytest.raises(ValueError, match="is 0 of them"):
        Scheme.top("P", neurons, flow, 1e-5)
    with pytest.raises(ValueError, match="no scheme to intersect"):
        intersection("none", [])


def test_the_control_has_as_many_in_each_layer_and_none_of_the_same(neurons: Neurons) -> None:
    scheme = Scheme.top("P", neurons, np.random.default_rng(0).normal(size=len(neurons)), 0.1)
    control = scheme.random(np.random.default_rng(1))
    assert not (control.chosen & scheme.chosen).any()
    for layer in range(3):
        here = neurons.layers == layer
        assert (control.chosen & here).sum() == (scheme.chosen & here).sum()


def test_a_scheme_comes_back_from_disk(neurons: Neurons, tmp_path) -> None:
    flow = np.random.default_rng(0).normal(size=len(neurons))
    scheme = Scheme.top("P", neurons, flow, 0.02, {"model": "tiny"})
    scheme.save(tmp_path / "p")
    back = Scheme.load(tmp_path / "p")
    assert back.units == scheme.units and back.name == "P" and back.made["model"] == "tiny"
    (tmp_path / "p.json").write_text((tmp_path / "p.json").read_text().replace('"n": 8', '"n": 9'))
    with pytest.raises(ValueError, match="says 9"):
        Scheme.load(tmp_path / "p")


def test_silencing_all_is_silencing_each_site_and_none_changes_nothing(
    model: CrossEncoder, pairs: Pairs, neurons: Neurons
) -> None:
    none = Scheme("none", neurons, np.zeros(len(neurons), dtype=bool))
    with torch.no_grad():
        plain = model(pairs)
        with model.hooked(*silence(none)):
            assert silence(none) == []
        scheme = Scheme.top("P", neurons, np.arange(len(neurons), dtype=float), 0.1)
        with model.hooked(*silence(scheme)):
            silenced = model(pairs)
    assert not torch.allclose(plain, silenced)


def test_a_neuron_silenced_alone_is_one_hooked_forward(
    model: CrossEncoder, pairs: Pairs, neurons: Neurons
) -> None:
    units = neurons.units(range(0, len(neurons), 37))
    fall = single_ablation(model, pairs, units)
    for unit, value in zip(units, fall, strict=True):
        alone = Scheme("one", neurons, np.isin(np.arange(len(neurons)), neurons.numbers([unit])))
        with torch.no_grad(), model.hooked(*silence(alone)):
            expected = -model(pairs)
        with torch.no_grad():
            expected += model(pairs)
        assert torch.allclose(value, expected, atol=1e-6)


def test_flow_of_a_class_needs_a_pair_of_it(model: CrossEncoder, pairs: Pairs) -> None:
    flow = neuron_flow(model, pairs, padding_baseline(model, pairs), steps=8)
    assert flow.values.shape == (2, len(flow.neurons))
    relevant, other = agreeing(torch.tensor([1.0, -1.0]), [True, True])
    assert relevant.tolist() == [True, False] and other.tolist() == [False, False]
    assert flow.mean(relevant).shape == (len(flow.neurons),)
    with pytest.raises(NotMeasurable, match="no non-relevant pair among 2"):
        flow.mean(other, "non-relevant")
    with pytest.raises(ValueError, match="2 scores for 1 judgements"):
        agreeing(torch.zeros(2), [True])


@pytest.mark.parametrize("seed", [0, 7])
def test_conductance_and_ablation_rank_the_same_neurons_of_a_planted_model_first(seed) -> None:
    model = load(f"planted:bm25?seed={seed}")
    pairs = model.pair("canoe paddle", "a canoe needs a paddle and a road", "the bus of a canoe")
    flow = neuron_flow(
        model, pairs, padding_baseline(model, pairs, ("cls", "sep1", "sep2")), steps=24
    )
    dead = np.abs(flow.values).max(axis=0) < 1e-9
    fall = single_ablation(model, pairs, flow.neurons.units(np.flatnonzero(dead)[:40].tolist()))
    assert float(fall.abs().max()) < 1e-4  # what carries no flow is not missed
