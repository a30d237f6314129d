"""Tracing: from the score back to what first reads the signal, stage by stage.

    stage 1    who tells the score, past no other head?
    stage 2    who tells those, by their q, their k, their v?
    stage 3    who tells them? ...

At each stage all receivers that read alike are overwritten together, which asks one question
of each sender; of the senders found, each receiver is then patched alone, which gives the edges
(Lu et al., 2025, section 4, where the stages are three and were chosen by eye).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...contrasts.contrast import Contrast
from ...hooks import Hooked, read_of
from ...not_measurable import NotMeasurable
from ...sites import HEAD_READS, Site, Unit
from ...stats import benjamini_hochberg
from .chain import Chain, SCORE, Step
from .head_kinds import reading
from .path_plan import Group
from .pooled_contrasts import pooled


MLP = "mlp"
# A batch of another size rounds otherwise: a head that writes nothing had a share of 34 eps, alike
# in both pairs and so significant.
ROUNDED = 1_000


def trace(
    model: Hooked,
    contrasts: Contrast | Sequence[Contrast],
    *,
    senders: Sequence[Unit] | None = None,
    held: Sequence[str] = ("z",),
    alpha: float = 0.05,
    share: float = 0.02,
    most: int = 4,
    first: int | None = 8,
    least: float | None = None,
    at_once: int = 16,
    memory_budget: int | None = None,
) -> Chain:
    """The chain of units that carry the signal of `contrasts` to the score.

    A sender is chosen if, over the pairs of all contrasts together, its mean effect has a
    95 % bootstrap interval without 0, a q of at most `alpha` (Benjamini and Hochberg over all
    tests of the chain up to its stage: what a later stage asks undoes no earlier choice), and
    a size of at least `share` of the contrast; an edge, which is one of several receivers,
    needs `share` over their number. The units that a stage finds first are the receivers of
    the next. The chain ends when a stage finds no new unit, or after `most` stages. Senders
    whose effects cancel over the receivers of one stage are not found.

    Args:
        senders: heads at z (by default all), and, if wanted, `mlp_out` and embedding sites.
        held: ("z",): MLPs pass on what they hear, so that edges run from head to head;
            ("z", "mlp_out"): only the stream does, for MLPs as members of their own.
        first: a sender that is surely below `share` after so many pairs of each contrast is asked
            in no more, and not chosen; None asks all in every pair.
        least: as in `patching`.
        at_once: how many pairs may be one bundle; fewer are, where memory runs out.
        memory_budget: in bytes; by default a quarter of what is free.

    Raises:
        NotMeasurable: no pair has a contrast, or only one: there is no test of one.
    """
    listed = [contrasts] if isinstance(contrasts, Contrast) else list(contrasts)
    senders = model.heads() if senders is None else senders
    heads = reading(model, listed, at_once=at_once)
    steps: list[Step] = []
    known: dict[Unit, None] = {}
    receivers: Sequence[Unit] = ()

    def ask(stage: int, which: Sequence[Unit], groups: Sequence[tuple[str, Group]], n: int) -> None:
        """Add a step for each group; a test of one of `n` receivers needs its part of `share`."""
        effects = pooled(
            model,
            listed,
            which,
            [group for _, group in groups],
            held,
            floor=share / n,
            first=first,
            least=least,
            at_once=at_once,
            memory_budget=memory_budget,
        )
        if any(len(each.is_flat) - each.n_skipped == 1 for each in effects):
            raise NotMeasurable(
                "1 pair: senders are chosen by a test over the pairs that have a contrast, and "
                "only one has; take some more"
            )
        signals = tuple(c.signal for c in listed for _ in range(len(c)))
        new = [
            Step(stage, read, group, each, signals, each.summary())
            for (read, group), each in zip(groups, effects, strict=True)
        ]
        steps[:] = decided(steps, new, alpha=alpha, share=share / n)

    for stage in range(1, most + 1):
        groups = reads(model, receivers) if stage > 1 else {SCORE: ()}
        depth = max((unit.site.depth for group in groups.values() for unit in group), default=None)
        before = [unit for unit in senders if depth is None or unit.site.depth < depth]
        if not before:
            stopped = f"nothing comes before stage {stage - 1}"
            break
        ask(stage, before, list(groups.items()), 1)
        asked = steps[-len(groups) :]
        for step in asked:
            if step.chosen and len(step.receivers) > 1:
                alone = [(step.read, (receiver,)) for receiver in step.receivers]
                ask(stage, step.chosen, alone, len(alone))
        found = dict.fromkeys(unit for step in asked for unit in step.chosen)
        receivers = [unit for unit in found if unit not in known]
        known |= found
        if not receivers:
            stopped = f"stage {stage} found no new unit"
            break
    else:
        stopped = f"no more than {most} stages were asked for"
    kinds = {unit: heads.kind(unit) for unit in known if unit in heads.heads}
    return Chain(tuple(steps), kinds, alpha, share, stopped)


def reads(model: Hooked, units: Sequence[Unit]) -> dict[str, Group]:
    """By what the units hear others: each way of reading, of all of them together."""
    gated = {site.name for site in model.sites()} & {"mlp_pre_linear"}
    found: dict[str, Group] = {}
    for unit in units:
        if unit.site.name == "z":
            for read in HEAD_READS:
                receiver = read_of(model, unit, read)  # heads may share one
                found[read] = tuple(dict.fromkeys((*found.get(read, ()), receiver)))
        elif unit.site.name == "mlp_out":
            for name in ("mlp_pre", *gated):
                receiver = Unit(Site(name, unit.site.layer))
                found[MLP] = (*found.get(MLP, ()), receiver)
    return found


def decided(
    earlier: Sequence[Step], new: Sequence[Step], *, alpha: float, share: float
) -> list[Step]:
    """All steps, with the choice made in the new ones."""
    tested = [*(step.summary["p"].to_numpy() for step in (*earlier, *new))]
    q = np.split(benjamini_hochberg(np.concatenate(tested)), np.cumsum([*map(len, tested)])[:-1])
    steps = list(earlier)
    for step, adjusted in zip(new, q[len(earlier) :], strict=True):
        table = step.summary.assign(q=adjusted)
        apart = (table["low"] > 0) | (table["high"] < 0)
        rounding = ROUNDED * torch.finfo(step.effects.recovered.dtype).eps
        is_large = table["mean"].abs() >= max(share, rounding)
        chosen = apart & (table["q"] <= alpha) & is_large
        steps.append(replace(step, summary=table.assign(chosen=chosen)))
    return steps
