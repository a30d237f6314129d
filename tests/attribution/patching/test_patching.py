import numpy as np
import pytest
import torch
from tiny import tiny

from crosslens import (
    Axioms,
    collection,
    Contrast,
    head,
    load,
    patch,
    patching,
    plant,
    sweep,
    units_at,
)
from crosslens.attribution import patch_together
from crosslens.engine.memory import Footprint
from crosslens.stats import auroc


@pytest.fixture(scope="module")
def planted():
    return plant("bm25?decoys=3")


@pytest.fixture(scope="module")
def model(planted):
    return load(planted)


@pytest.fixture(scope="module")
def contrast(model):
    return Axioms(model, collection("embedded")).tfc1(10)


def test_patching_finds_exactly_the_planted_heads(model, contrast, planted):
    effects = patching(model, contrast, model.heads())
    truth = np.array([unit in planted.circuit for unit in effects.units])
    assert auroc(effects.mean.numpy(), truth) == 1.0
    assert effects.mean[torch.tensor(truth)].min() > 0.99
    assert effects.mean[torch.tensor(~truth)].abs().max() < 0.01  # decoys among them


def test_the_signal_moves_from_the_injected_term_to_the_query_to_cls(model, contrast, planted):
    matching, scoring = planted.placement.matching[0], planted.placement.scoring[0]
    roles = ["D_inj", "Q+", "[CLS]", "D_other"]
    units = units_at(model.sites("normalized_resid_post"), "pos", roles)
    mean = patching(model, contrast, units).mean.reshape(-1, 4)
    for layer, (injected, asked, cls, other) in enumerate(mean.tolist()):
        assert injected == pytest.approx(float(layer < matching), abs=0.02)
        assert asked == pytest.approx(float(matching <= layer < scoring), abs=0.02)
        assert cls == pytest.approx(float(layer >= scoring), abs=0.02)
        assert other == pytest.approx(0, abs=0.02)


def test_pairs_swept_together_are_pairs_swept_alone(model, contrast):
    units = model.heads()[:6]
    together = patching(model, contrast, units, at_once=4)
    for i in range(len(contrast)):
        pair = contrast.take([i])
        with model.record("z") as source:
            model(pair.more)
        alone = sweep(model, pair.base, [patch(unit, source) for unit in units])[:, 0]
        recovered = (alone - together.base[i]) / (together.target[i] - together.base[i])
        assert torch.allclose(together.recovered[:, i], recovered, atol=1e-3)


def test_patching_a_pair_from_itself_is_refused_as_no_contrast(model, contrast):
    from dataclasses import replace

    same = replace(contrast, more=contrast.base)
    with pytest.raises(ValueError, match="no contrast to recover"):
        patching(model, same, model.heads()[:1])


def test_a_set_of_one_is_its_member_in_the_precision_of_the_model():
    model = load(*tiny("bert")).double()
    one, other = ("cats purr .", "dog purr ."), ("cats rest", "dog rest")
    texts = [model.pair("why do cats purr", *each) for each in zip(one, other, strict=True)]
    contrast, unit = Contrast.between(*texts[::-1]), head(1, 2)
    alone = patching(model, contrast, [unit]).recovered[0].numpy()
    together = patch_together(model, contrast, [unit], draws=1).recovered
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12)


def test_pairs_that_hardly_differ_are_skipped_and_counted(model, contrast):
    way = patching(model, contrast, model.heads()[:1], least=1e-3)
    gap = (way.target - way.base).abs()
    strict = patching(model, contrast, model.heads()[:1], least=gap.median().item())
    assert way.n_skipped == (gap < 1e-3).sum() < strict.n_skipped == (gap < gap.median()).sum()
    assert torch.equal(strict.recovered[0].isnan(), gap < gap.median())
    usual = patching(model, contrast, model.heads()[:1])
    assert usual.n_skipped == (gap < 0.2 * gap.square().mean().sqrt()).sum()


def test_a_role_that_a_pair_lacks_is_no_effect_of_zero(model, contrast):
    unit = model.sites("resid_pre")[0].at(pos="D+")
    effects = patching(model, contrast, [unit])
    absent = ~contrast.base.where("D+").any(dim=1)
    assert 0 < absent.sum() < len(contrast)
    assert torch.equal(effects.of(unit).isnan(), absent)


def test_tables_hold_every_pair_and_the_summary_its_intervals(model, contrast):
    effects = patching(model, contrast, model.heads())
    frame, summary = effects.frame(), effects.summary()
    assert len(frame) == len(effects.units) * len(contrast) and len(summary) == len(effects.units)
    assert frame.groupby("unit")["recovered"].mean().max() == pytest.approx(
        summary["mean"].max(), rel=1e-4
    )
    assert (summary["low"] <= summary["mean"] + 1e-9).all()
    assert (summary["mean"] <= summary["high"] + 1e-9).all()
    found = summary[(summary["q"] < 0.05) & (summary["mean"] > 0.05)]
    assert len(found) == 2 and (found["n"] == len(contrast)).all()
    with pytest.raises(LookupError, match="was not swept"):
        effects.of(model.sites("q")[0].at(head=0))


def test_progress_reaches_the_end(model, contrast):
    seen = []
    patching(model, contrast, model.heads()[:4], progress=lambda done, total: seen.append(done))
    assert seen == sorted(seen) and seen[-1] == 4 * len(contrast)


def test_units_that_carry_the_same_on_both_sides_cost_nothing(model, contrast, monkeypatch):
    rows = []
    plain = type(model).suffix

    def counting(self, pairs, *given):
        rows.append(len(pairs))
        return plain(self, pairs, *given)

    monkeypatch.setattr(type(model), "suffix", counting)
    first = model.sites("resid_pre")[0]
    units = [first.at(pos=role) for role in ("D_inj", "Q+", "[CLS]", "D_other")]
    effects = patching(model, contrast, units)
    # the embeddings differ at the injected term only, where patching them gives the other side
    assert sum(rows) == len(contrast) - effects.n_skipped
    assert torch.allclose(effects.of(units[0]), torch.ones(len(contrast)), atol=1e-3)
    for unit in units[1:]:
        assert (effects.of(unit).nan_to_num() == 0).all()


def test_a_budget_takes_fewer_pairs_at_once_and_changes_nothing(model, contrast):
    units = model.heads()[:3]
    size = Footprint.of(model, contrast.base)
    least = 2 * size.of_sites([units[0].site]) + size.block
    roomy, tight = (patching(model, contrast, units, memory_budget=n) for n in (10**9, 2 * least))
    torch.testing.assert_close(tight.recovered, roomy.recovered, atol=1e-3, rtol=0, equal_nan=True)
    with pytest.raises(MemoryError, match="patching one pair needs about"):
        patching(model, contrast, units, memory_budget=least - 1)
