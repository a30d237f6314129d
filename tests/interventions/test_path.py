"""Path patching against a forward pass written anew, and against what must hold anyway."""

import pytest
import torch
from einops import rearrange
from torch import Tensor

from crosslens import Cache, CrossEncoder, head, Pairs, Site, Unit
from crosslens.hooks import is_grouped, read_of
from crosslens.interventions.patch import patch
from crosslens.interventions.path import direct_path, path


NAMES = ("full_embed", "z", "mlp_out", "resid_pre", "attn_out")
Sender = tuple[int, int]  # layer, head


def walk(
    model: CrossEncoder, pairs: Pairs, base: Cache, source: Cache, senders: list[Sender], **options
) -> tuple[Tensor, list[Tensor]]:
    """Step 1 by hand: the score, and what attention reads in every block.

    With every z given, no attention is computed: the pass is LayerNorms, W_O and MLPs.
    """
    x, read = base[Site("full_embed")], []
    for layer, block in enumerate(model.blocks):
        if layer == options.get("stream_layer"):
            x = x.clone()
            x[:, options["stream_pos"]] = source[Site("resid_pre", layer)][:, options["stream_pos"]]
        z = base[Site("z", layer)].clone()
        for at, h in senders:
            if at == layer:
                z[:, :, h] = source[Site("z", layer)][:, :, h]
        written = block.attn.out(rearrange(z, "pair pos head d -> pair pos (head d)"))
        pre_norm = model.cfg.norm == "pre"
        read.append(block.norm1(x) if pre_norm else x)
        x = x + written if pre_norm else block.norm1(x + written)
        thought = block.mlp(block.norm2(x) if pre_norm else x)
        if options.get("mlps_held"):
            thought = base[Site("mlp_out", layer)]
        x = x + thought if pre_norm else block.norm2(x + thought)
    if model.final_norm is not None:
        x = model.final_norm(x)
    return model.relevance(model.head(x, pairs.attended, pairs.scored)), read


def told(model: CrossEncoder, read: list[Tensor], layer: int, h: int, what: str) -> Tensor:
    """What head `h` makes of the stream it reads: its q, k or v."""
    made = getattr(model.blocks[layer].attn, what)(read[layer])
    return rearrange(made, "pair pos (head d) -> pair pos head d", d=model.cfg.d_head)[:, :, h]


def reads(model: CrossEncoder, layer: int, h: int, what: str) -> Unit:
    """The q, k or v of a head, which others may share."""
    return read_of(model, head(layer, h), what)


def index(unit: Unit) -> int:
    """Which head a unit is of."""
    return int(dict(unit.coordinates)["head"])


@pytest.fixture
def caches(any_model, any_sides, record) -> tuple[Cache, Cache]:
    base, more = any_sides
    return record(any_model, base, *NAMES), record(any_model, more, *NAMES)


def test_head_to_score_is_a_pass_with_every_z_given(any_model, any_sides, caches, under) -> None:
    base, _ = any_sides
    plain = under(any_model, base)
    for senders in ([(0, 1)], [(1, 2)], [(0, 0), (1, 3), (2, 1)]):
        with torch.no_grad():
            expected, _ = walk(any_model, base, *caches, senders)
            without_mlps, _ = walk(any_model, base, *caches, senders, mlps_held=True)
        units = [head(*sender) for sender in senders]
        found = under(any_model, base, *direct_path(any_model, *caches, units))
        torch.testing.assert_close(found, expected)
        assert ((found - plain).abs() > 1e-9).all()
        held = direct_path(any_model, *caches, units, held=("z", "mlp_out"))
        torch.testing.assert_close(under(any_model, base, *held), without_mlps)
        assert ((expected - without_mlps).abs() > 1e-9).all()


@pytest.mark.parametrize("what", ["q", "k", "v"])
def test_head_to_head_is_a_pass_told_by_hand(any_model, any_sides, caches, under, what) -> None:
    base, _ = any_sides
    hooks = path(any_model, base, *caches, [head(0, 1), head(1, 0)], [reads(any_model, 2, 3, what)])
    h = index(reads(any_model, 2, 3, what))
    with torch.no_grad():
        _, read = walk(any_model, base, *caches, [(0, 1), (1, 0)])
        value = told(any_model, read, 2, h, what)

        def swap(activation: Tensor, hook: object) -> Tensor:
            changed = activation.clone()
            changed[:, :, h] = value
            return changed

        name = Site(what, 2).hook
        expected = any_model.run_with_hooks(base, fwd_hooks=[(name, swap)])
    found = under(any_model, base, *hooks)
    torch.testing.assert_close(found, expected)
    assert ((found - under(any_model, base)).abs() > 1e-9).any()


def test_the_stream_at_one_position_sends_along_paths_too(
    any_model, any_sides, caches, under
) -> None:
    """Where the paper's code leaves the sender on and freezes nothing: the total effect."""
    base, _ = any_sides
    sender, receiver = Site("resid_pre", 1).at(pos=4), reads(any_model, 2, 3, "v")
    found = under(any_model, base, *path(any_model, base, *caches, [sender], [receiver]))
    with torch.no_grad():
        _, read = walk(any_model, base, *caches, [], stream_layer=1, stream_pos=4)
    value = told(any_model, read, 2, index(receiver), "v")
    whole = any_model.run_with_cache(base, names_filter=Site("v", 2).hook)[1]
    changed = whole[Site("v", 2).hook].detach().clone()
    changed[:, :, index(receiver)] = value
    patched = under(any_model, base, patch(Unit(Site("v", 2)), Cache({Site("v", 2): changed})))
    torch.testing.assert_close(found, patched)
    total = under(any_model, base, patch(sender, caches[1]))
    assert ((found - total).abs() > 1e-6).all()


def test_no_sender_has_no_effect_and_all_of_them_have_all(
    any_model, any_sides, caches, under
) -> None:
    base, more = any_sides
    plain, target = under(any_model, base), under(any_model, more)
    heads, embeddings = any_model.heads(), Unit(Site("full_embed"))
    receivers = [reads(any_model, 2, h, what) for h in range(4) for what in "qkv"]
    torch.testing.assert_close(under(any_model, base, *direct_path(any_model, *caches, [])), plain)
    none = path(any_model, base, *caches, [], receivers)
    torch.testing.assert_close(under(any_model, base, *none), plain)
    everything = direct_path(any_model, *caches, [*heads, embeddings])
    torch.testing.assert_close(under(any_model, base, *everything), target)
    halves = [
        under(any_model, base, *direct_path(any_model, *caches, part))
        for part in (heads, [embeddings])
    ]
    if any_model.head.reads_scored_row:  # whose own embedding is the same on both sides
        torch.testing.assert_close(halves, [target, plain])
    else:
        assert all((half - end).abs().min() > 1e-6 for half in halves for end in (plain, target))


def test_what_cannot_reach_the_receiver_has_no_effect(any_model, any_sides, caches, under) -> None:
    base, _ = any_sides
    plain = under(any_model, base)
    later = path(any_model, base, *caches, any_model.heads()[8:], [reads(any_model, 1, 2, "k")])
    torch.testing.assert_close(under(any_model, base, *later), plain)

    scored = "sep2" if any_model.is_causal else "cls"
    others = tuple(name for name in ("cls", "query", "sep1", "document", "sep2") if name != scored)
    aside = [Site("z", 2).at(head=h, pos=others) for h in range(4)]
    unread = under(any_model, base, *direct_path(any_model, *caches, aside))
    read = [Site("z", 2).at(head=h, pos=scored) for h in range(4)]
    moved = (under(any_model, base, *direct_path(any_model, *caches, read)) - plain).abs()
    assert (moved > 1e-6).all()
    if any_model.head.reads_scored_row:
        torch.testing.assert_close(unread, plain)
    else:
        assert ((unread - plain).abs() > 1e-6).all()


def test_a_path_through_dead_weights_carries_nothing(any_model, any_sides, record, under) -> None:
    base, more = any_sides
    d = any_model.cfg.d_head
    with torch.no_grad():
        any_model.blocks[0].attn.out.weight[:, d : 2 * d] = 0  # head 0.1 writes nothing
        any_model.blocks[2].attn.out.weight[:, 3 * d :] = 0  # nobody hears head 2.3
    caches = record(any_model, base, *NAMES), record(any_model, more, *NAMES)
    plain = under(any_model, base)

    def moves(sender: Unit, *receivers: Unit) -> bool:
        hooks = path(any_model, base, *caches, [sender], receivers)
        return bool(((under(any_model, base, *hooks) - plain).abs() > 1e-9).any())

    own = "q" if is_grouped(any_model) else "qkv"  # its keys and values may be others' too
    three = [reads(any_model, 2, 3, what) for what in own]
    two = [reads(any_model, 2, 2, what) for what in "qkv"]
    assert moves(head(0, 0), *two) and moves(head(1, 1), two[2])
    assert not moves(head(0, 0), *three)
    assert not moves(head(0, 1), *two)
    dead = under(any_model, base, *direct_path(any_model, *caches, [head(0, 1)]))
    torch.testing.assert_close(dead, plain)


def test_one_receiver_among_many_positions(any_model, any_sides, caches, under) -> None:
    """Two halves of a receiver's positions make the whole."""
    base, _ = any_sides
    sender = [head(0, 1), head(1, 2)]
    whole = path(any_model, base, *caches, sender, [head(2, 1, "v")])
    parts = ("cls", "query", "sep1", "document", "sep2", "pad")
    halves = [Site("v", 2).at(head=1, pos=names) for names in (parts[:3], parts[3:])]
    both = path(any_model, base, *caches, sender, halves)
    torch.testing.assert_close(under(any_model, base, *both), under(any_model, base, *whole))
    one = under(any_model, base, *path(any_model, base, *caches, sender, halves[1:]))
    assert ((one - under(any_model, base, *whole)).abs() > 1e-9).any()


def test_gradients_reach_the_sender(any_model, any_sides, caches) -> None:
    base, _ = any_sides
    leaf = caches[1][Site("z", 0)].detach().requires_grad_()
    source = Cache({Site("z", 0): leaf})
    hooks = path(any_model, base, caches[0], source, [head(0, 1)], [reads(any_model, 2, 3, "v")])
    with any_model.hooked(*hooks):
        any_model(base).sum().backward()
    assert leaf.grad[:, :, 1].abs().sum() > 0 and (leaf.grad[:, :, [0, 2, 3]] == 0).all()


def test_paths_that_cannot_be_are_refused(model, two_sides, record) -> None:
    base, more = two_sides
    caches = record(model, base, *NAMES), record(model, more, *NAMES)
    with pytest.raises(ValueError, match="the path to the score itself is `direct_path`"):
        path(model, base, *caches, [head(0, 1)], [])
    with pytest.raises(ValueError, match=r"2.z\[head=1\] is held at its base value and receives"):
        path(model, base, *caches, [head(0, 1)], [head(2, 1)])
    with pytest.raises(ValueError, match=r"0.q\[head=1\] reaches the rest only through 'z'"):
        direct_path(model, *caches, [head(0, 1, "q")])
    with pytest.raises(ValueError, match="only through 'mlp_out'"):
        direct_path(model, *caches, [Unit(Site("mlp_post", 0))], held=("z", "mlp_out"))
    with pytest.raises(ValueError, match="cannot hold 'resid_pre': only the writes"):
        direct_path(model, *caches, [head(0, 1)], held=("resid_pre",))
    with pytest.raises(LookupError, match="was not recorded"):
        direct_path(model, Cache(), caches[1], [head(0, 1)])
