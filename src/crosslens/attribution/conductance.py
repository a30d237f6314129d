"""Conductance: how much of the score flows through each part of a model.

The embeddings move in a straight line from a baseline to the words of the pair; a unit's
flow is the integral of the score's slope at the unit over the unit's change

    flow(y) = integral over t of  dF/dy(t)  dy(t)

(Dhamdhere et al., 2018, https://arxiv.org/abs/1805.12233; the form is that of Shrikumar, Su
and Kundaje, 2018, which vast2024 uses). Where a site carries the whole forward pass, such as
the output of a block, its flow adds up to the change in score.

One forward and one backward pass at each node of the path give the flow of every site at
once, for many nodes and pairs in one batch; nothing but running sums is kept.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from ..hooks import Hooked
from ..pairs import Pairs
from ..sites import Site
from .quadrature import gauss_legendre, Panel


LINEAR = ("q", "k", "v", "attn_out", "mlp_pre", "mlp_out")  # the linear maps of a block
Rule = Callable[[int], list[Panel]]


@dataclass(frozen=True, eq=False)
class Flow:
    """The conductance of sites, pair by pair, and how exact it is."""

    sites: Mapping[Site, Float[Tensor, "pair ..."]]
    change: Float[Tensor, " pair"]  # the score, less the baseline's
    error: Float[Tensor, " pair"]  # worst completeness error of a full cut, over `change`
    steps: int

    def __getitem__(self, site: Site) -> Float[Tensor, "pair ..."]:
        if site not in self.sites:
            raise LookupError(
                f"{site} was not asked for; this flow holds {[*map(str, self.sites)]}"
            )
        return self.sites[site]


def padded(
    model: Hooked, pairs: Pairs, keep: Iterable[str] = (), *, pad_id: int = 0
) -> Float[Tensor, "pair pos d_model"]:
    """Word embeddings of the same pairs with every token but `keep` replaced by padding.

    Keep nothing for the baseline of vast2024, section 2; keep "cls", "sep1", "sep2" and
    "document" for the empty query of zhan2020, section 2.
    """
    kept = pairs.where(*keep)
    empty = replace(pairs, token=torch.where(kept, pairs.token, pad_id))
    with torch.no_grad(), model.record("embed") as cache:
        model(empty)
    return cache[Site("embed")]


def conductance(
    model: Hooked,
    pairs: Pairs,
    baseline: Float[Tensor, "pair pos d_model"],
    sites: Iterable[str | Site] = LINEAR,
    *,
    steps: int = 24,
    rule: Rule = gauss_legendre,
    tolerance: float | None = None,
    per_token: bool = False,
    rows: int = 12,
) -> Flow:
    """The flow through `sites`, summed over tokens unless `per_token`.

    With `tolerance`, steps are doubled from `steps` until no pair's completeness error, at
    the embeddings or the output of a block, exceeds it (relative to the change in score).
    `rows` is how many points of the path are one batch.
    """
    listed = [
        site for name in sites for site in ([name] if isinstance(name, Site) else model.sites(name))
    ]
    whole = [Site("embed"), *model.sites("resid_pre")[1:]]  # full cuts: their flow is the change
    watched = list(dict.fromkeys([*listed, *whole]))
    while True:
        parts = []
        for chosen in _bundles(pairs, rows, steps):
            some, start = pairs.take(chosen), baseline[chosen]
            parts.append(_flow(model, some, start[:, : some.token.shape[1]], watched, rule(steps)))
        order = torch.tensor([row for chosen in _bundles(pairs, rows, steps) for row in chosen])
        flow = {site: _gather([part[0][site] for part in parts], order) for site in watched}
        change = _gather([part[1] for part in parts], order)
        off = torch.stack([flow[site].flatten(1).sum(dim=1) - change for site in whole])
        error = off.abs().amax(dim=0) / change.abs()
        if tolerance is None or error.max() <= tolerance:
            break
        if steps >= 2000:
            raise RuntimeError(
                f"completeness error {error.max():.1e} after {steps} steps, wanted "
                f"{tolerance:.1e}: float32 may not reach it (try model.double()), and a path from "
                "embeddings of zero begins where a LayerNorm has no slope (try another baseline)"
            )
        steps *= 2
    summed = {
        site: flow[site] if per_token or "pos" not in site.axes else flow[site].sum(dim=1)
        for site in listed
    }
    return Flow(summed, change, error, steps)


def _bundles(pairs: Pairs, rows: int, steps: int) -> list[list[int]]:
    """Pairs of like length, as many together as their points of the path fill a batch."""
    together = max(1, rows // min(steps, 12))
    return [chosen.tolist() for chosen in pairs.lengths.argsort().split(together)]


def _flow(
    model: Hooked, pairs: Pairs, baseline: Tensor, sites: list[Site], panels: list[Panel]
) -> tuple[dict[Site, Tensor], Tensor]:
    """The flow through `sites`, token by token, and the change in score."""
    with torch.no_grad(), model.record("embed") as cache:
        score = model(pairs)
    words = cache[Site("embed")]
    with torch.no_grad(), model.tapped([(Site("embed"), lambda _: baseline)]):
        change = score - model(pairs)

    flow: dict[Site, Tensor] = {}
    for panel in panels:
        n = len(panel.nodes)
        t = torch.tensor(panel.nodes, dtype=words.dtype, device=words.device)
        weight = torch.tensor(panel.weight, dtype=words.dtype, device=words.device)
        on_path = torch.lerp(baseline, words, t[:, None, None, None]).flatten(0, 1)
        on_path.requires_grad_()
        enter = (Site("embed"), lambda _, value=on_path: value)
        with (
            torch.enable_grad(),
            model.cls_only(),
            model.tapped([enter]),
            model.record(*sites) as y,
        ):
            total = model(pairs.repeat(n)).sum()
        slopes = torch.autograd.grad(total, [y[site] for site in sites])
        for site, slope in zip(sites, slopes, strict=True):
            g = rearrange(slope, "(n pair) ... -> n pair ...", n=n)
            moved = torch.tensordot(
                weight, rearrange(y[site].detach(), "(n pair) ... -> n pair ...", n=n), dims=1
            )
            here = (g * moved).sum(dim=0)
            flow[site] = flow[site] + here if site in flow else here
    return flow, change


def _gather(parts: list[Tensor], order: Tensor) -> Tensor:
    """The bundles as one tensor in the pairs' own order, shorter ones padded with no flow."""
    if parts[0].dim() > 1:
        width = max(part.shape[1] for part in parts)
        parts = [
            torch.nn.functional.pad(part, (0, 0) * (part.dim() - 2) + (0, width - part.shape[1]))
            for part in parts
        ]
    return torch.cat(parts)[order.argsort()]
