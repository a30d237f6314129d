"""Conductance, against captum; the bottleneck, against the whole model at every step."""

from collections.abc import Sequence
from functools import partial

import torch
from captum.attr import LayerConductance
from torch.nn import functional as F

from crosslens import bottleneck, conductance, Hook, Site
from crosslens.attribution import Noise
from crosslens.attribution.flow.bottleneck import information
from crosslens.attribution.flow.conductance import LINEAR

from .subject import Subject
from .sweeps import title_of
from .timing import Arm, interleaved, Table


def modules(subject: Subject) -> dict[Site, torch.nn.Module]:
    """The linear maps of the original, under the names of what they compute."""
    found = {}
    for i, layer in enumerate(subject.original.bert.encoder.layer):
        a = layer.attention
        maps = (a.self.query, a.self.key, a.self.value, a.output.dense)
        maps = (*maps, layer.intermediate.dense, layer.output.dense)
        found |= {Site(name, i): module for name, module in zip(LINEAR, maps, strict=True)}
    return found


def conductances(subject: Subject, rounds: int, share: float, *, steps: int = 100) -> Table:
    """All linear maps at equal steps, and at captum's error; one pair.

    Captum is called for one map of each block, early and late ones alike. How far its sums, and
    ours with few nodes, are from 96 nodes of Gauss and Legendre stands beside the times.
    """
    model, pair = subject.model, subject.base.take([0])
    with torch.no_grad(), model.record("embed") as cache:
        model(pair)
        words = cache[Site("embed")]
        model(subject.more.take([0]))
        baseline = cache[Site("embed")]
    sites = modules(subject)
    chosen = list(sites)[:: len(LINEAR) + 1]  # one of each block, another map in each

    def score(embedded: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        return subject.original(inputs_embeds=embedded, token_type_ids=kind).logits[:, 0]

    def captum(site: Site) -> torch.Tensor:
        return LayerConductance(score, sites[site]).attribute(
            words,
            baseline,
            additional_forward_args=pair.token_type,
            n_steps=steps,
            method="riemann_trapezoid",
            internal_batch_size=subject.rows,
        )

    def per_module() -> float:
        for site in chosen:
            captum(site)
        return len(chosen) / len(sites)

    def ours(n: int) -> float:
        conductance(model, pair, baseline, list(sites), steps=n)
        return 1

    exact = conductance(model, pair, baseline, chosen, steps=96, per_token=True)

    def error(found: dict[Site, torch.Tensor]) -> float:
        off = [(found[site].squeeze() - exact[site].squeeze()).norm() for site in chosen]
        return float(
            torch.stack(off).norm() / torch.stack([exact[s].norm() for s in chosen]).norm()
        )

    def narrow(site: Site) -> torch.Tensor:
        whole = captum(site).detach()
        return whole[:, : exact[site].shape[1]].unflatten(-1, exact[site].shape[2:])

    theirs = error({site: narrow(site) for site in chosen})
    by_nodes = {
        n: error(dict(conductance(model, pair, baseline, chosen, steps=n, per_token=True).sites))
        for n in (2, 3, 4, 6, 8, 12)
    }
    enough = next((n for n, off in by_nodes.items() if off <= theirs), 12)
    arms: dict[str, Arm] = {
        f"engine, {enough} nodes": partial(ours, enough),
        f"engine, {steps} nodes": partial(ours, steps),
        f"captum per module, {steps} steps": per_module,
    }
    facts = {f"error of captum's {steps} steps": theirs}
    facts |= {f"error of {n} nodes": off for n, off in by_nodes.items()}
    measured = interleaved(arms, rounds=rounds)
    _, equal, per = measured.values()
    facts["captum / engine at equal steps"] = per.seconds / equal.seconds
    return Table(title_of(subject, "conductance, one pair"), "pair", measured, facts)


def bottlenecks(subject: Subject, rounds: int, share: float) -> list[Table]:
    """10 steps x 10 repetitions after layers early, middle and late; one pair."""
    n = subject.shape.layers
    layers = sorted({0, n // 3, n - 2, n - 1})
    return [_bottleneck(subject, rounds, layer) for layer in layers]


def _bottleneck(subject: Subject, rounds: int, layer: int, steps: int = 10, n: int = 10) -> Table:
    model, pair = subject.model, subject.base.take([0])
    sites = model.sites(model.cfg.block_output)
    with torch.no_grad(), model.record(*sites) as cache:
        model(subject.base)
    noises = [Noise.of(cache[site], subject.base) for site in sites]

    def engine() -> float:
        bottleneck(model, pair, noises, layers=[layer], steps=steps, repeats=n, beta=1.0)
        return 1

    arms = {
        "engine": engine,
        "whole model per step": partial(
            whole_model, subject, sites[layer], noises[layer], steps, n, True
        ),
        "whole model per step, weights frozen": partial(
            whole_model, subject, sites[layer], noises[layer], steps, n, False
        ),
    }
    return Table(
        title_of(subject, f"bottleneck after layer {layer}, {steps} steps x {n}, one pair"),
        "pair",
        interleaved(arms, rounds=rounds),
        {},
    )


def whole_model(
    subject: Subject, site: Site, noise: Noise, steps: int, n: int, is_trainable: bool
) -> float:
    """A hook in the whole model, and a backward pass through all of it."""
    model, pair = subject.model, subject.base.take([0])
    weights: Sequence[torch.nn.Parameter] = list(model.parameters())
    for weight in weights:
        weight.requires_grad_(is_trainable)
    with torch.no_grad(), model.record(site) as cache:
        model(pair)
    normal = (cache[site] - noise.mean) / noise.std
    alpha = torch.full_like(normal, 5.0, requires_grad=True)
    optimiser = torch.optim.Adam([alpha], lr=1.0)
    many = pair.repeat(n)
    for _ in range(steps):
        keep = alpha.sigmoid()
        eps = noise.mean + noise.std * torch.randn(n, *normal.shape[1:])

        def inject(x: torch.Tensor, keep: torch.Tensor = keep, eps: torch.Tensor = eps):
            return keep * x + (1 - keep) * eps

        with model.hooked(Hook(site.at(), inject)):
            score = model(many)
        loss = F.softplus(-score).mean() + information(keep, 1 - keep, normal).mean()
        optimiser.zero_grad()
        for weight in weights:
            weight.grad = None
        loss.backward()
        optimiser.step()
    for weight in weights:
        weight.grad = None
        weight.requires_grad_(True)
    return 1
