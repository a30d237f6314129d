"""Path patching by the arithmetic it needs, against hooks that hold everything: one sender at a
time, one full pass or two for each."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from crosslens import (
    ablate,
    Contrast,
    CrossEncoder,
    direct_path,
    Edge,
    head,
    neuron,
    path,
    path_edges,
    path_patching,
    Site,
    Unit,
)
from crosslens.engine.memory import Footprint


QUERIES = ("why do cats purr", "how do dog bark")
BASE = ("cats purr when they rest", "the engine of a car , and the cats of the town , purr")
MORE = ("dog bark when they sleep", "the river of a town , and the python of the city , rest")


def between(model: CrossEncoder) -> Contrast:
    """Pairs of unequal length, and the same places with other words."""
    sides = [model.pair(query, *texts) for query, texts in zip(QUERIES, (BASE, MORE), strict=True)]
    return Contrast.between(*sides)


@pytest.fixture
def contrast(any_model: CrossEncoder) -> Contrast:
    return between(any_model.double())


@pytest.fixture
def by_hooks(any_model, contrast) -> Callable[..., Tensor]:
    """The change of the score, the slow way."""
    with torch.no_grad(), any_model.record(*any_model.sites()) as base:
        plain = any_model(contrast.base)
    with torch.no_grad(), any_model.record(*any_model.sites()) as source:
        any_model(contrast.more)

    def change(sender: Unit, receivers: Sequence[Unit], held: Sequence[str]) -> Tensor:
        with torch.no_grad():
            hooks = (
                path(any_model, contrast.base, base, source, [sender], receivers, held=held)
                if receivers
                else direct_path(any_model, base, source, [sender], held=held)
            )
            with any_model.hooked(*hooks):
                return any_model(contrast.base) - plain

    return change


def senders_of(model: CrossEncoder, held: Sequence[str]) -> list[Unit]:
    """One of every kind of sender that `held` does not silence."""
    known = {site.name for site in model.sites()}
    tables = [Site(name).at() for name in ("token_type_embed", "pos_embed") if name in known]
    streams = model.sites(model.cfg.block_output)
    neurons = [Site("normalized_resid_mid", 1).at(), Site("mlp_post", 1).at(neuron=3)]
    heads = [
        head(0, 1),
        head(2, 1),
        Site("z", 1).at(head=2, pos="query"),
        Site("z", 0).at(d_head=2),
    ]
    return [
        *tables,
        Site("embed").at(pos="D_inj"),
        Site("full_embed").at(pos=-1),
        *(heads if "z" in held else []),
        Site("result", 0).at(head=1),
        Site("attn_out", 1).at(pos="document"),
        Site("resid_pre", 1).at(pos=4),
        Site("resid_mid", 1).at(pos=("cls", "query")),
        *(neurons if "mlp_out" not in held else []),
        Site("mlp_out", 0).at(),
        Site("mlp_out", 2).at(pos="cls"),
        streams[1].at(),
        streams[2].at(pos=0),
    ]


READS = [head(1, 0, "k"), Site("v", 2).at(head=1, pos="document"), head(2, 1, "q")]
NEURONS = [Site("mlp_pre", 1).at(), Site("mlp_pre", 2).at(neuron=4), Site("k", 2).at(pos=3)]


def compare(model, contrast, by_hooks, senders, receivers, held=("z",)) -> None:
    """The fast way and the slow agree, and there is something to agree on."""
    effects = path_patching(model, contrast, senders, receivers, held=held, least=0.0)
    change = effects.recovered * (effects.target - effects.base)
    slow = torch.stack([by_hooks(sender, receivers, held) for sender in senders])
    torch.testing.assert_close(change, slow, rtol=0, atol=1e-10)
    assert (slow.abs() > 1e-9).any(dim=1).sum() > 1


def test_every_sender_to_the_score_is_what_hooks_say(any_model, contrast, by_hooks):
    compare(any_model, contrast, by_hooks, senders_of(any_model, ("z",)), [])


def test_every_sender_to_receivers_is_what_hooks_say(any_model, contrast, by_hooks):
    compare(any_model, contrast, by_hooks, senders_of(any_model, ("z",))[::3], READS)


@pytest.mark.parametrize("family", ["bert", "modernbert-mean"])
def test_what_is_held_passes_nothing_on(any_model, contrast, by_hooks):
    held = ("result", "mlp_out")
    senders = senders_of(any_model, held)
    compare(any_model, contrast, by_hooks, senders, [], held)
    compare(any_model, contrast, by_hooks, senders[::2], NEURONS, held)
    compare(any_model, contrast, by_hooks, senders_of(any_model, ("z",))[::3], NEURONS)


@pytest.mark.parametrize("family", ["bert", "modernbert-mean"])
def test_an_edge_is_a_path_to_one_receiver(any_model, contrast):
    senders, logits = [head(0, 1), head(1, 2), Site("mlp_out", 0).at()], Site("logits").at()
    edges = path_edges(any_model, contrast, senders, [*READS, logits], least=0.0)
    for receiver in [*READS, logits]:
        group = [] if receiver == logits else [receiver]
        alone = path_patching(any_model, contrast, senders, group, least=0.0)
        for sender in senders:
            if sender.site.depth < receiver.site.depth:
                found = edges.of(Edge(sender, receiver))
                torch.testing.assert_close(found, alone.of(sender), rtol=0, atol=1e-10)
    assert edges.recovered[1, 0].isnan().all()  # 1.2 speaks after 1.0 has read


def test_nobody_says_nothing_and_what_comes_too_late_is_not_heard(model):
    contrast = between(model.double())
    same = Contrast.between(contrast.base, contrast.more)
    late = path_patching(model, same, [head(1, 2), head(2, 0)], [head(1, 1, "k")], least=0.0)
    assert late.recovered.abs().max() == 0
    aside = Site("z", 2).at(head=0, pos=("query", "sep1", "document", "sep2"))
    unread = path_patching(model, contrast, [aside, head(2, 0)], least=0.0)
    assert unread.recovered[0].abs().max() == 0
    assert unread.recovered[1].abs().min() > 1e-6


def test_all_tokens_of_the_first_stream_restore_no_score_while_heads_are_held(model):
    """[CLS] is the same on both sides, and only heads could tell it of the others."""
    contrast = between(model.double())
    stream = Site("full_embed").at()
    effects = path_patching(model, contrast, [stream], least=0.0)
    assert effects.recovered.abs().max() == 0
    heard = path_patching(model, contrast, [stream], [head(0, 0, "v")], least=0.0)
    assert heard.recovered.abs().min() > 1e-6


def test_the_budget_and_the_bundle_change_nothing(model):
    contrast = between(model.double())
    senders = [*model.heads(), Site("embed").at()]
    whole = path_patching(model, contrast, senders, READS, least=0.0)
    size = Footprint.of(model, contrast.base)
    done: list[tuple[int, int]] = []
    small = path_patching(
        model,
        contrast,
        senders,
        READS,
        least=0.0,
        at_once=1,
        memory_budget=3 * size.block,
        progress=lambda *each: done.append(each),
    )
    torch.testing.assert_close(small.recovered, whole.recovered, rtol=0, atol=1e-10)
    assert done == [(13, 26), (26, 26)]
    with pytest.raises(MemoryError, match="path patching in one pair needs about"):
        path_patching(model, contrast, senders, READS, memory_budget=1000)


def test_paths_that_cannot_be_are_refused(model):
    contrast = between(model)

    def refused(message: str, sender: Unit, *receivers: Unit, **options) -> None:
        with pytest.raises((ValueError, LookupError), match=message):
            path_patching(model, contrast, [sender], receivers, **options)

    refused("cannot hold 'resid_pre': only the writes", head(0, 1), held=("resid_pre",))
    refused("lets attention pass on what senders say", head(0, 1), held=("mlp_out",))
    refused(r"0.q\[head=1\] reaches the rest only through 'z'", head(0, 1, "q"))
    refused("only through 'mlp_out'", Site("mlp_post", 0).at(), held=("z", "mlp_out"))
    refused("pooled is no sender", Site("pooled").at())
    refused(r"2.z\[head=1\] is not what a part reads", head(0, 1), head(2, 1))
    refused(r"0.z\[head=7\] is outside the model", head(0, 7))
    other = model.hooked(ablate(neuron(1, 2)))
    with pytest.raises(RuntimeError, match="path patching cannot run under other hooks"), other:
        path_patching(model, contrast, [head(0, 1)], [head(2, 1, "q")])
