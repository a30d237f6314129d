"""What a chain chooses, how sure it is, and when it stops; planted chains are in tests/planted."""

import random
from dataclasses import replace

import pytest
import torch
from tiny import tiny, WORDS

from crosslens import Contrast, CrossEncoder, Edge, head, load, path_edges, Site, trace
from crosslens.attribution import Chain
from crosslens.attribution.patching.effects import Effects
from crosslens.attribution.paths.chain import Step
from crosslens.attribution.paths.trace import decided


def added_word(model: CrossEncoder, seed: int = 0, n: int = 8) -> Contrast:
    """Random texts whose document holds a word of the query in one more place."""
    draw = random.Random(seed)
    drawn = [draw.sample(WORDS, 14) for _ in range(n)]
    queries = [" ".join(words[:4]) for words in drawn]
    sides = [
        model.pairs(queries, [" ".join([*words[4:12], words[last]]) for words in drawn])
        for last in (12, 0)
    ]
    return Contrast.between(*sides)


def step(recovered: torch.Tensor, stage: int = 1) -> Step:
    """A step with these effects."""
    units = tuple(Site("z", 0).at(d_head=i) for i in range(len(recovered)))
    base = torch.zeros(recovered.shape[1])
    flat = (False,) * len(base)
    effects = Effects("noise", units, recovered, base, base + 1, flat)
    return Step(stage, "score", (), effects, ("noise",) * len(base), effects.summary())


def test_of_what_is_chosen_no_more_is_noise_than_was_promised():
    false, found = 0, 0
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(450, 12, generator=generator)
        real = 2 + torch.randn(50, 12, generator=generator)
        (chosen,) = decided([], [step(torch.cat([noise, real]))], alpha=0.1, share=0.02)
        found += len(chosen.chosen)
        false += sum(dict(unit.coordinates)["d_head"] < 450 for unit in chosen.chosen)
    assert found > 4 * 45 and 0 < false < 0.12 * found  # 0.09 is what to expect
    (alone,) = decided([], [step(noise)], alpha=0.1, share=0.02)
    assert not alone.chosen


def test_a_small_effect_is_not_chosen_however_sure():
    tests = step(torch.tensor([[0.010, 0.011, 0.012, 0.011], [0.30, 0.31, 0.32, 0.31]]))
    (chosen,) = decided([], [tests], alpha=0.05, share=0.02)
    assert chosen.chosen == (tests.effects.units[1],)
    (chosen,) = decided([], [tests], alpha=0.05, share=0.005)
    assert chosen.chosen == tests.effects.units[::-1]  # the strongest first


def test_a_choice_once_made_stays_and_later_stages_count_all_tests():
    first = step(torch.tensor([[0.1, 0.3, 0.2, 0.4]]))
    noise = step(torch.randn(50, 4, generator=torch.Generator().manual_seed(1)), stage=2)
    made = decided([], [first], alpha=0.05, share=0.0)
    assert made[0].chosen
    both = decided(made, [noise], alpha=0.05, share=0.0)
    assert both[0] is made[0]
    p = first.summary["p"].item()
    again = decided([], [first, noise], alpha=0.05, share=0.0)
    assert again[0].summary["q"].item() > p and not again[0].chosen


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    """A random model in which three heads write nothing."""
    model = load(*tiny("bert", seed=1)).double()
    with torch.no_grad():
        for layer, index in ((0, 2), (1, 0), (2, 3)):
            model.blocks[layer].attn.out.weight[:, 6 * index : 6 * index + 6] = 0
    return model


@pytest.fixture(scope="module")
def chain(model) -> Chain:
    return trace(model, [added_word(model, seed) for seed in (0, 1)], alpha=0.5, share=0.0)


def test_heads_that_write_nothing_are_in_no_chain(chain):
    found = {unit for stage in chain.members for unit in stage}
    assert found and not found & {head(0, 2), head(1, 0), head(2, 3)}


def test_edges_are_path_edges_of_all_contrasts_together(model, chain):
    later = [edge for edge in chain.edges if edge.receiver.site.name != "logits"]
    assert later
    for sender, receiver in later[:3]:
        values = [
            path_edges(model, added_word(model, seed), [sender], [receiver]).recovered
            for seed in (0, 1)
        ]
        assert torch.cat(values, dim=2).nanmean().item() == pytest.approx(
            chain.edges[Edge(sender, receiver)]
        )


def test_a_chain_has_every_test_pair_by_pair(chain):
    summary, frame = chain.summary(), chain.frame()
    assert len(frame) == 16 * len(summary)
    one = frame[(frame["stage"] == 1) & (frame["sender"] == "2.z[head=1]")]
    row = summary[(summary["stage"] == 1) & (summary["sender"] == "2.z[head=1]")]
    assert one["recovered"].mean() == pytest.approx(row["mean"].item())
    assert set(summary["read"]) > {"score"}
    for number, units in enumerate(chain.members, start=1):
        for unit in units:
            found = summary[(summary["stage"] == number) & (summary["sender"] == str(unit))]
            assert found["chosen"].any()


def test_a_sender_given_up_early_would_not_have_been_chosen(model):
    contrasts = [added_word(model, seed, n=12) for seed in (0, 1)]
    whole, early = (
        trace(model, contrasts, alpha=0.5, share=0.2, first=first) for first in (None, 4)
    )
    assert whole.members and early.members == whole.members
    assert set(early.edges) == set(whole.edges)
    for step, asked in zip(early.steps, whole.steps, strict=True):
        shortened = step.effects.recovered.isnan().sum(dim=1) > asked.effects.recovered.isnan().sum(
            dim=1
        )
        both = ~step.effects.recovered.isnan() & ~asked.effects.recovered.isnan()
        torch.testing.assert_close(
            step.effects.recovered[both], asked.effects.recovered[both], atol=1e-9, rtol=0
        )
        given_up = {step.effects.units[i] for i in shortened.nonzero().flatten().tolist()}
        assert not given_up & set(asked.chosen)
        if step.stage == 1:
            assert given_up
            kept = step.effects.recovered[~shortened]
            assert kept.isnan().sum() == asked.effects.recovered[~shortened].isnan().sum()


def test_a_chain_prints_its_stages_and_edges(chain):
    written = str(chain)
    assert written.startswith("stage 1 -> score: ")
    for edge in chain.edges:
        assert f"{edge}  " in written
    assert written.endswith(f"({chain.stopped})")
    silent = decided([], [step(torch.zeros(1, 3))], alpha=0.1, share=0.1)
    nothing = replace(chain, steps=tuple(silent))
    assert str(nothing).startswith("nothing writes the score")


def test_a_chain_stops_where_it_is_told_to(model):
    contrast = added_word(model)
    one = trace(model, contrast, most=1, alpha=1.0, share=0.0)
    assert one.stopped == "no more than 1 stages were asked for"
    assert "found no new unit" in trace(model, contrast, share=9.0).stopped
    first = [unit for unit in model.heads() if unit.site.layer == 0]
    alone = trace(model, contrast, senders=first, alpha=1.0, share=0.0)
    assert alone.stopped == "nothing comes before stage 1"


def test_every_member_of_a_circuit_has_a_role(chain):
    circuit = chain.circuit("random", "tiny")
    found = {unit for stage in chain.members for unit in stage}
    assert circuit.units == found and circuit.edges == set(chain.edges)
    assert circuit.roles["relevance scoring"] == set(chain.members[0])
    assert "difference" in circuit.source


def test_one_pair_is_refused_for_it_has_no_test():
    model = load(*tiny("bert"))
    with pytest.raises(ValueError, match="1 pair: senders are chosen by a test"):
        trace(model, added_word(model, n=1))
    two = added_word(model, n=2)
    token = torch.stack([two.more.token[0], two.base.token[1]])  # the second pair is flat
    with pytest.raises(ValueError, match="1 pair: senders are chosen by a test"):
        trace(model, replace(two, more=replace(two.more, token=token)))
