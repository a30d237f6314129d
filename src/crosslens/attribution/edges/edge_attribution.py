"""Edge attribution patching: what each part of a model tells each other part, to first order.

    effect(u -> v)  ~  J (source_u - base_u) . dF/d v

where u writes to the stream, v reads from it, and J carries what u wrote to where v reads.
In a pre-LN model nothing stands on the way and J is the identity (Syed et al., 2023). In a
post-LN model each half block ends in a LayerNorm of the whole stream: what u wrote passes
all those between, and J is the product of their Jacobians at the run whose slope is taken.
No other part answers on the way, so an edge is direct. Over all readers the edges of u add
up to its attribution patching, which a test asserts.

With `steps`, J and the slope are averaged over the way from base to source: EAP-IG (Hanna et
al., 2024, https://arxiv.org/abs/2403.17806), here at the middle of each step.

Senders are the input, heads and MLPs; receivers what heads read (q, k and v), MLPs and the
logits. An MLP as a receiver stands for all that it reads, the gate of a gated MLP included. A
bias that all heads share, such as that of W_O, is no sender: it does not change.
"""

from collections.abc import Mapping
from typing import Final

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...batching.batches import by_length
from ...contrasts.contrast import Contrast
from ...engine.gradients import graphs_at_once, on_the_way, Slopes, slopes
from ...engine.sweep import Progress
from ...hooks import Hooked
from ...sites import HEAD_READS, Site
from .edge_effects import EdgeEffects
from .edge_graph import Graph


WRITES: Final = ("full_embed", "result", "mlp_out")
# The stream before and after what a half block adds, and after its LayerNorm if it has one.
ALONG: Final = (
    "resid_pre",
    "resid_mid",
    "normalized_resid_mid",
    "resid_post",
    "normalized_resid_post",
)
NUMBERS_AT_ONCE: Final = 1_000_000  # carried through a LayerNorm, with a dozen copies each


@torch.no_grad()
def edge_attribution(
    model: Hooked,
    contrast: Contrast,
    *,
    steps: int = 0,
    at_once: int = 4,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> EdgeEffects:
    """The share of `contrast` that every edge restores, to first order.

    Args:
        steps: 0 for slopes at the base run (EAP); n for their mean over n points on the way
            to the source (EAP-IG).
        at_once: how many pairs may be one batch; fewer are, where memory runs out.
        memory_budget: in bytes; by default a quarter of what is free.
        progress: called with (done, total) pairs.

    Raises:
        ValueError: no pair has a contrast.
    """
    graph = Graph.of(model)
    senders, receivers = graph.senders, graph.receivers
    known = {site.name for site in model.sites()}
    streams_between = [site for name in ALONG if name in known for site in model.sites(name)]
    last = max(streams_between, key=lambda site: site.depth)
    read = [*(site for name in (*HEAD_READS, "z", "mlp_out") for site in model.sites(name)), last]
    writes = [site for name in ("embed", *WRITES) for site in model.sites(name)]
    # what each sender wrote is carried along as a stream of its own, with copies at LayerNorms
    streams = 4 * len(senders)
    fit = graphs_at_once(model, contrast.base, at_once, memory_budget, streams=streams)

    def of(rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        pairs, more = contrast.base.take(rows), contrast.more.take(rows)
        with model.record(*writes) as source:
            target = model(more)
        with model.record(*writes) as base:
            plain = model(pairs)
        moved = {site: source[site] - base[site] for site in writes}
        points = list(on_the_way(base, source, steps))
        change = plain.new_zeros(len(senders), len(receivers), len(rows))
        for words in points:
            run = slopes(model, pairs, read, words=words, also=streams_between)
            change += _received(run, moved, last) / len(points)
        return change, plain, target

    order: list[int] = []
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for rows, part in by_length(of, contrast.base, fit):
        order += rows
        found.append(part)
        if progress is not None:
            progress(len(order), len(contrast))
    back = torch.tensor(order).argsort()
    change, base_score, target_score = (
        torch.cat(parts, dim=-1)[..., back] for parts in zip(*found, strict=True)
    )
    return EdgeEffects.of_change(contrast, senders, receivers, change, base_score, target_score)


def _received(
    run: Slopes, moved: Mapping[Site, Tensor], last: Site
) -> Float[Tensor, "sender receiver pair"]:
    """What each sender's change does by way of each reader: one walk up the stream."""
    is_post = last.name == "normalized_resid_post"
    sent = moved[Site("full_embed")][None]  # of each sender so far, as it has become here
    received: list[Float[Tensor, "sender receiver pair"]] = []
    for out in sorted(site for site in run.slope if site.name == "mlp_out"):
        at = {name: Site(name, out.layer) for name in (*HEAD_READS, *ALONG, "z", "result")}
        stream = run.value[at["resid_pre"]]
        for read in HEAD_READS:
            site = at[read]
            if run.value[site].shape[2] < run.value[at["z"]].shape[2]:
                wanted = _wanted_of_shared(run, at[read], at["z"], stream)
            else:
                wanted = _wanted(run.value[site], stream, run.slope[site])
            received.append(_by(sent, wanted))
        result = moved[at["result"]]
        sent = torch.cat([sent, rearrange(result, "pair pos head d -> head pair pos d")])

        stream = run.value[at["resid_mid"]]
        if is_post:
            normed = run.value[at["normalized_resid_mid"]]
            sent, stream = _carried(stream, normed, sent), normed
        value, slope = run.value[out], run.slope[out]
        (wanted,) = torch.autograd.grad(value, stream, slope, retain_graph=True)
        received.append(_by(sent, wanted[None]))
        sent = torch.cat([sent, moved[out][None]])
        if is_post:
            summed, normed = at["resid_post"], at["normalized_resid_post"]
            sent = _carried(run.value[summed], run.value[normed], sent)
    received.append(_by(sent, run.slope[last][None]))
    n = len(sent)
    return torch.cat([F.pad(part, (0, 0, 0, 0, 0, n - len(part))) for part in received], dim=1)


def _by(
    sent: Float[Tensor, "sender pair pos d_model"],
    wanted: Float[Tensor, "receiver pair pos d_model"],
) -> Float[Tensor, "sender receiver pair"]:
    return einsum(sent, wanted, "sender pair pos d, receiver pair pos d -> sender receiver pair")


def _wanted(
    read: Float[Tensor, "pair pos head d_head"],
    stream: Float[Tensor, "pair pos d_model"],
    slope: Float[Tensor, "pair pos head d_head"],
) -> Float[Tensor, "head pair pos d_model"]:
    """The slope at the stream by way of each head's own query, key or value."""
    own = torch.eye(slope.shape[2], dtype=slope.dtype, device=slope.device)
    each = einsum(slope, own, "pair pos head d, one head -> one pair pos head d")
    (wanted,) = torch.autograd.grad(read, stream, each, retain_graph=True, is_grads_batched=True)
    return wanted


def _wanted_of_shared(
    run: Slopes, site: Site, z: Site, stream: Float[Tensor, "pair pos d_model"]
) -> Float[Tensor, "head pair pos d_model"]:
    """The same where heads share a key or value: by way of each head's own use of it."""
    found = []
    for i in range(run.value[z].shape[2]):
        own = torch.zeros_like(run.slope[z])
        own[:, :, i] = run.slope[z][:, :, i]
        (used,) = torch.autograd.grad(run.value[z], run.value[site], own, retain_graph=True)
        found += torch.autograd.grad(run.value[site], stream, used, retain_graph=True)
    return torch.stack(found)


def _carried(
    before: Float[Tensor, "pair pos d_model"],
    after: Float[Tensor, "pair pos d_model"],
    sent: Float[Tensor, "sender pair pos d_model"],
) -> Float[Tensor, "sender pair pos d_model"]:
    """J sent, where J is the Jacobian of the LayerNorm that took `before` to `after`.

    A backward pass gives J' v for any v; it is linear in v, so its own backward pass, for
    all senders at once, gives J.
    """
    v = torch.zeros_like(after, requires_grad=True)
    with torch.enable_grad():
        (back,) = torch.autograd.grad(after, before, v, create_graph=True)
    at_once = max(1, NUMBERS_AT_ONCE // after.numel())
    parts = [
        torch.autograd.grad(back, v, some, retain_graph=True, is_grads_batched=True)[0]
        for some in sent.split(at_once)
    ]
    return torch.cat(parts)
