"""Scoring heads are the formulas of their paper, and learn a planted signal, not labels by lot."""

from pathlib import Path
from random import Random

import pytest
import torch

from crosslens import CrossEncoder, Pairs
from crosslens.probing import Features
from crosslens.tuning import (
    cross_entropy,
    Example,
    preference_loss,
    preferences_of,
    Ranker,
    SCORING_HEADS,
    tune,
    Tuning,
)


WORDS = ("rest", "river", "engine", "town", "car", "sleep", "dog", "france")
QUICK = Tuning(epochs=8, rate=1e-2, batch=4)


def head_of(name: str, model: CrossEncoder):
    return SCORING_HEADS[name](len(model.block_outputs()), model.cfg.d_model)


def examples(shuffled_by: int | None = None) -> list[Example]:
    """Documents with the query's word are relevant, others are not."""
    found = [Example("cats", f"{word} cats", 1.0) for word in WORDS]
    found += [Example("cats", f"{word} purr", 0.0) for word in WORDS]
    if shuffled_by is not None:
        labels = [each.label for each in found]
        Random(shuffled_by).shuffle(labels)
        found = [each._replace(label=label) for each, label in zip(found, labels, strict=True)]
    return found


def in_order(ranker: Ranker, some: list[Example]) -> float:
    """Of relevant and other documents, the share whose scores are in this order."""
    with torch.no_grad():
        scores = ranker(ranker.pairs([each.query for each in some], [e.document for e in some]))
    good, bad = scores[: len(scores) // 2], scores[len(scores) // 2 :]
    return (good[:, None] > bad[None]).float().mean().item()


@pytest.mark.parametrize("name", ["Last-Int", "Mult-Int", "Term-Trans"])
@pytest.mark.parametrize("is_pairwise", [False, True])
def test_a_head_learns_a_planted_signal(
    model: CrossEncoder, name: str, is_pairwise: bool, tmp_path: Path
):
    ranker = Ranker(model, head_of(name, model))
    train, test = examples()[::2], examples()[1::2]
    before = {key: each.clone() for key, each in model.named_parameters()}
    history = tune(
        ranker,
        preferences_of(train) if is_pairwise else train,
        lambda: in_order(ranker, train),
        tmp_path / "state",
        tuning=QUICK,
        chosen=lambda part: part.startswith("head."),
        loss=preference_loss if is_pairwise else cross_entropy,
    )
    assert history[-1].loss < history[1].loss
    assert in_order(ranker, test) > 0.9
    for key, each in model.named_parameters():
        assert torch.equal(each, before[key]), "the trunk is frozen"


def test_a_head_learns_nothing_from_labels_by_lot(model: CrossEncoder, tmp_path: Path):
    found = []
    for seed in range(10):
        steps = iter(range(99))
        ranker = Ranker(model, head_of("Last-Int", model))
        tune(
            ranker,
            examples(shuffled_by=seed)[::2],
            lambda steps=steps: float(next(steps)),
            tmp_path / f"{seed}",
            tuning=QUICK,
            chosen=lambda part: part.startswith("head."),
        )
        found.append(in_order(ranker, examples()[1::2]))
    assert sum(found) / len(found) == pytest.approx(0.5, abs=0.3), found


def test_tuning_all_moves_the_trunk_and_frozen_states_are_the_live_ones(
    model: CrossEncoder, pairs: Pairs, tmp_path: Path
):
    for name in SCORING_HEADS:
        head = head_of(name, model)
        for each in head.parameters():
            torch.nn.init.normal_(each, generator=torch.Generator().manual_seed(0))
        kept, live = Ranker(model, head), Ranker(model, head, is_frozen=False)
        with torch.no_grad():
            found = kept(pairs)
            torch.testing.assert_close(found, live(pairs), rtol=2e-2, atol=2e-2)  # half precision
            assert torch.equal(found, kept(pairs))
            fewer = pairs.only(~(pairs.where("document") & (pairs.word == 0)))
            torch.testing.assert_close(kept(fewer), live(fewer), rtol=2e-2, atol=2e-2)
    ranker, before = Ranker(model, head_of("Rep", model), is_frozen=False), model.W_E.clone()
    quick = Tuning(epochs=1, rate=1e-2, batch=4)
    rising = iter(range(9))
    tune(
        ranker,
        examples(),
        lambda: float(next(rising)),
        tmp_path / "s",
        tuning=quick,
        chosen=lambda _: True,
    )
    assert not torch.equal(model.W_E, before)


def test_heads_are_their_formulas(model: CrossEncoder):
    generator = torch.Generator().manual_seed(0)

    def drawn(*counts: int) -> Features:
        vectors = torch.randn(3, sum(counts), 8, generator=generator)
        pair = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return Features(vectors, pair, len(counts))

    states = {name: drawn(1, 1) for name in ("cls", "query alone", "document alone")}
    states |= {"query": drawn(2, 3), "document": drawn(4, 1)}
    heads = {name: kind(3, 8) for name, kind in SCORING_HEADS.items()}
    for head in heads.values():
        for each in head.parameters():
            torch.nn.init.normal_(each, generator=generator)
    found = {name: head(states) for name, head in heads.items()}

    # a sum over layers of which only the last counts is Last-Int
    with torch.no_grad():
        heads["Mult-Int"].w.zero_()[-1] = heads["Last-Int"].w
        heads["Mult-Int"].bias.copy_(heads["Last-Int"].bias)
    torch.testing.assert_close(heads["Mult-Int"](states), found["Last-Int"])

    term = heads["Term-Trans"]
    for i in range(2):
        score = term.bias.clone()
        for k in range(3):
            q, d = (
                (states[name].vectors[k, states[name].pair == i] @ term.P[k].T).relu()
                for name in ("query", "document")
            )
            score = score + term.w[k] * torch.cosine_similarity(q[:, None], d[None], dim=2).mean()
        torch.testing.assert_close(found["Term-Trans"][i], score)
    with torch.no_grad():
        term.P.zero_()
    assert (term(states) == term.bias).all()

    q, d = (states[name].vectors[-1] for name in ("query alone", "document alone"))
    cosine = (q * d).sum(1) / q.norm(dim=1) / d.norm(dim=1)
    rep = heads["Rep"]
    torch.testing.assert_close(found["Rep"], rep.scale * cosine + rep.bias)


def test_rep_reads_query_and_document_apart(model: CrossEncoder):
    ranker = Ranker(model, head_of("Rep", model))
    with torch.no_grad():
        one = ranker.states(model.pair("cats purr", "the dog"))
        other = ranker.states(model.pair("cats purr", "the river in town"))
    torch.testing.assert_close(one["query alone"].vectors, other["query alone"].vectors)
    assert (one["document alone"].vectors - other["document alone"].vectors).abs().max() > 1e-3


def test_preferences_put_each_relevant_document_before_each_other_of_its_query():
    some = [Example("a", "x", 1), Example("a", "y", 0), Example("b", "z", 1), Example("a", "w", 0)]
    found = preferences_of(some)
    assert [(each.better.document, each.worse.document) for each in found] == [
        ("x", "y"),
        ("x", "w"),
    ]
    loss = preference_loss(torch.tensor([5.0]), torch.tensor([-5.0]))
    assert loss < 1e-3 < preference_loss(torch.tensor([0.0]), torch.tensor([0.0]))
