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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ...batching.batch_size import BatchSize
from ...batching.recorded import recorded
from ...engine.memory import Footprint
from ...hooks import Hooked
from ...pairs import Pairs
from ...sites import Site
from .quadrature import gauss_legendre, Panel


LINEAR = ("q", "k", "v", "attn_out", "mlp_pre", "mlp_out")  # the linear maps of a block

# what flows, from the scores and the logits of a batch
Target = Callable[[Float[Tensor, " pair"], Float[Tensor, "pair label"]], Float[Tensor, " pair"]]


@runtime_checkable
class Rule(Protocol):
    """So many steps as panels, each of so many steps at most."""

    def __call__(self, steps: int, *, per_panel: int = ...) -> list[Panel]: ...


@dataclass(frozen=True, eq=False)
class Flow:
    """The conductance of sites, pair by pair, and how exact it is."""

    sites: Mapping[Site, Float[Tensor, "pair ..."]]
    change: Float[Tensor, " pair"]  # the score or other target, less the baseline's
    error: Float[Tensor, " pair"]  # worst completeness error of a full cut, over `change`
    steps: int

    def __getitem__(self, site: Site) -> Float[Tensor, "pair ..."]:
        if site not in self.sites:
            raise LookupError(
                f"{site} was not asked for; this flow holds {[*map(str, self.sites)]}"
            )
        return self.sites[site]


def padding_baseline(
    model: Hooked, pairs: Pairs, keep: Iterable[str] = (), *, pad_id: int | None = None
) -> Float[Tensor, "pair pos d_model"]:
    """Word embeddings, in their own scale, of the pairs with all tokens but `keep` as padding.

    `pad_id` is the token in their place, the model's own padding token unless given.

    Keep nothing for the baseline of vast2024, section 2; keep "cls", "sep1", "sep2" and
    "document" for the empty query of zhan2020, section 2.
    """
    kept = pairs.where(*keep)
    pad = model.pad_token_id if pad_id is None else pad_id
    empty = replace(pairs, token=torch.where(kept, pairs.token, pad))
    return recorded(model, empty, ["embed"])[0][Site("embed")]


def conductance(
    model: Hooked,
    pairs: Pairs,
    baseline: Float[Tensor, "pair pos d_model"],
    sites: Iterable[str | Site] = LINEAR,
    *,
    target: Target | None = None,
    steps: int = 24,
    rule: Rule = gauss_legendre,
    tolerance: float | None = None,
    per_token: bool = False,
    rows: int = 12,
    memory_budget: int | None = None,
) -> Flow:
    """The flow through `sites`, summed over tokens unless `per_token`.

    What flows is the score, or the `target` that is a function of scores and logits. Where the
    score reads one row, the last block computes no other behind its keys and values: by token
    its sites there have one position, the scored row.

    With `tolerance`, steps are doubled from `steps` until no pair's completeness error, at
    the embeddings or the output of a block, exceeds it (relative to the change in score).
    `rows` is how many points of the path are one batch, fewer where `memory_budget` (in
    bytes; by default a quarter of what is free) is short. The panels of `rule` are then shorter
    too, and more steps may be needed for the same error. Where memory runs out all the same, the
    points of a panel run apart, and the flow is the same.

    Raises:
        MemoryError: the budget does not hold four points of the path of one pair.
        RuntimeError: `tolerance` is out of reach.
        ValueError: the baseline has another shape than the word embeddings of the pairs.
    """
    if baseline.shape[:2] != pairs.token.shape:
        raise _other_shape(baseline, (*pairs.token.shape, "d_model"))
    listed = [
        site for name in sites for site in ([name] if isinstance(name, Site) else model.sites(name))
    ]
    whole = [Site("embed"), *model.sites("resid_pre")[1:]]  # full cuts: their flow is the change
    watched = list(dict.fromkeys([*listed, *whole]))
    size = Footprint.of(model, pairs, memory_budget)
    beside = size.of_sites(watched)
    fit = size.rows_with_gradients(
        model, pairs, max(rows, 13), what="four points of a path", beside=beside, least=4
    )
    rows, per_panel = min(rows, fit), min(12, fit - 1)  # n steps between n + 1 points
    while True:
        panels = rule(steps, per_panel=per_panel)

        def flow_of(chosen: Sequence[int], panels: list[Panel] = panels) -> tuple[dict, Tensor]:
            some = pairs.take(chosen)
            path = Path(baseline[list(chosen)][:, : some.token.shape[1]], panels)
            return _flow(model, some, path, watched, per_token, target or _score)

        order = pairs.lengths.argsort(stable=True)
        at_once = max(1, rows // min(steps, per_panel))  # so that their points fill a batch
        parts = [
            part
            for _, part in BatchSize(at_once, tokens=size.tokens).batches(flow_of, order.tolist())
        ]
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
    return Flow({site: flow[site] for site in listed}, change, error, steps)


class Path(NamedTuple):
    """Where the embeddings come from, and the points on their way."""

    baseline: Float[Tensor, "pair pos d_model"]
    panels: list[Panel]


def _flow(
    model: Hooked, pairs: Pairs, path: Path, sites: list[Site], per_token: bool, target: Target
) -> tuple[dict[Site, Tensor], Tensor]:
    """The flow through `sites`, and the change of the target."""
    logits = Site("logits")
    with torch.no_grad(), model.record("embed", logits) as cache:
        change = target(model(pairs), cache[logits])
    words = cache[Site("embed")]
    if path.baseline.shape != words.shape:
        raise _other_shape(path.baseline, words.shape)
    enter = (Site("embed"), lambda _: path.baseline)
    with torch.no_grad(), model.tapped([enter]), model.record(logits) as cache:
        change = change - target(model(pairs), cache[logits])

    flow: dict[Site, Tensor] = {}
    exact = torch.promote_types(words.dtype, torch.float32)  # sums of halves lose too much
    size = BatchSize(max(len(panel.nodes) for panel in path.panels), tokens=pairs.token.shape[1])
    for panel in path.panels:

        def at(nodes: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
            t = torch.tensor(nodes, dtype=words.dtype, device=words.device)
            on_path = torch.lerp(path.baseline, words, t[:, None, None, None])
            return _slopes_and_values(model, pairs, on_path, sites, target)

        parts = [part for _, part in size.batches(at, panel.nodes.tolist())]
        weight = torch.tensor(panel.weight, dtype=exact, device=words.device)
        for i, site in enumerate(sites):
            slope, value = map(_joined, zip(*(part[i] for part in parts), strict=True))
            terms = torch.tensordot(weight, value.to(exact), dims=1).mul_(slope.to(exact))
            here = terms.sum(dim=0 if per_token or "pos" not in site.axes else (0, 2))
            flow[site] = flow[site] + here if site in flow else here
    return flow, change


def _slopes_and_values(
    model: Hooked,
    pairs: Pairs,
    words: Float[Tensor, "node pair pos d_model"],
    sites: list[Site],
    target: Target,
) -> list[tuple[Tensor, Tensor]]:
    """The slope of the target at each of `sites` and what the site holds, at each node."""
    logits, n = Site("logits"), len(words)
    on_path = words.flatten(0, 1).requires_grad_()
    enter = (Site("embed"), lambda _: on_path)
    with (
        torch.enable_grad(),
        model.scored_row_only(),
        model.tapped([enter]),
        model.record(*sites, logits) as y,
    ):
        total = target(model(pairs.repeat(n)), y[logits]).sum()
    moving = [site for site in sites if y[site].requires_grad]
    found = torch.autograd.grad(total, [y[site] for site in moving])
    slope_at = dict(zip(moving, found, strict=True))

    def by_node(x: Tensor) -> Float[Tensor, "node pair ..."]:
        return rearrange(x.detach(), "(n pair) ... -> n pair ...", n=n)

    return [
        # nothing flows through what the embeddings do not move: where a decoder step begins
        (by_node(slope_at.get(site, torch.zeros_like(y[site]))), by_node(y[site]))
        for site in sites
    ]


def _joined(parts: Sequence[Tensor]) -> Float[Tensor, "node pair ..."]:
    """The nodes of all parts; of a single one without a copy."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _score(scores: Float[Tensor, " pair"], logits: Float[Tensor, "pair label"]) -> Tensor:
    return scores


def _other_shape(baseline: Tensor, expected: Sequence) -> ValueError:
    return ValueError(
        f"the baseline has shape {tuple(baseline.shape)}, the word embeddings of the pairs "
        f"{tuple(expected)}: make it of these pairs, as padding_baseline(model, pairs) does"
    )


def _gather(parts: list[Tensor], order: Int[Tensor, " pair"]) -> Tensor:
    """The bundles as one tensor in the pairs' own order, shorter ones padded with no flow."""
    longest = [max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True)]
    whole = parts[0].new_zeros(len(order), *longest[1:])
    for rows, part in zip(order.split([len(part) for part in parts]), parts, strict=True):
        whole[(rows, *(slice(size) for size in part.shape[1:]))] = part
    return whole
