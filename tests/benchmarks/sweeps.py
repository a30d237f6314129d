"""Exact sweeps, against one forward pass per cell and against the floor."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import torch
from torch import Tensor

from crosslens import Hook, Pairs, patch, sweep, token_mask, Unit, units_at
from crosslens.hooks import Cache

from . import plain
from .peer import by_bridge
from .subject import Subject
from .timing import Arm, interleaved, matmul_rate, Table


SEGMENTS = ("cls", "query", "sep1", "document", "sep2")


def heads(subject: Subject, rounds: int, share: float) -> Table:
    """Every layer x head, at z."""
    return patched(subject, subject.model.heads(), rounds, share, "heads", after_attention=True)


def positions(subject: Subject, rounds: int, share: float) -> Table:
    """The stream before every layer x position, or an even part of the positions."""
    stride = max(1, round(1 / share))
    units = units_at(subject.model.sites("resid_pre"), "pos", range(0, subject.n_tokens, stride))
    return patched(subject, units, rounds, share, "positions", after_attention=False)


def roles(subject: Subject, rounds: int, share: float) -> Table:
    """The stream by segment; how many times fewer seconds than all positions together."""
    stride = max(1, round(1 / share))
    streams = subject.model.sites("resid_pre")
    by_role = units_at(streams, "pos", SEGMENTS)
    by_position = units_at(streams, "pos", range(0, subject.n_tokens, stride))
    source = recorded(subject, [*by_role, *by_position])
    n_positions = subject.n_tokens * len(streams)

    def whole(units: Sequence[Unit], parts: float) -> Arm:
        hooks = [patch(unit, source) for unit in units]

        def run() -> float:
            sweep(subject.model, subject.base, hooks)
            return parts

        return run

    arms = {
        "by role": whole(by_role, 1),
        "by position": whole(by_position, len(by_position) / n_positions),
    }
    return Table(
        title_of(subject, "stream by role and by position"),
        "sweep",
        interleaved(arms, rounds=rounds),
        {"cells by role": len(by_role), "cells by position": n_positions},
    )


def knockout(subject: Subject, rounds: int, share: float) -> Table:
    """Each segment hidden from each, layer by layer; [SEP]s are one segment."""
    groups = ("cls", "query", ("sep1", "sep2"), "document")
    layers = range(subject.shape.layers)
    hooks = [token_mask(i, dst=d, src=s) for i, d, s in product(layers, groups, groups)]
    arms = {"engine": swept(subject, hooks), **one_by_one(subject, lambda rows: hooks, share)}
    return Table(
        title_of(subject, "attention knock-out"),
        "cell and pair",
        interleaved(arms, rounds=rounds),
        {"cells": len(hooks)},
    )


def patched(
    subject: Subject, units: Sequence[Unit], rounds: int, share: float, name: str,
    *, after_attention: bool,
) -> Table:  # fmt: skip
    """A patching sweep, its floors, and what it replaces: our own model and TransformerLens'."""
    source = recorded(subject, units)
    hooks = [patch(unit, source) for unit in units]
    layers = [unit.site.layer or 0 for unit in units]
    chosen = some_of(len(units), share)
    arms = {
        "engine": swept(subject, hooks),
        "floor: the same rows, bare": bare(subject, layers, after_attention=after_attention),
        **one_by_one(subject, patches(units, source), share),
        "TransformerLens' bridge, one forward each": by_bridge(
            subject,
            [
                (subject.base.take([i]), [patches(units, source)([i])[c] for c in chosen])
                for i in range(min(4, len(subject.base)))
            ],
        ),
    }
    measured = interleaved(arms, rounds=rounds)
    flops = sum(subject.of_suffix(i, after_attention=after_attention) for i in layers) / len(layers)
    rate = matmul_rate(subject.rows * subject.n_tokens, subject.shape.d_model)
    facts = {
        "cells": len(units),
        "unavoidable GFLOP per cell and pair": flops / 1e9,
        "GFLOP/s of a matrix product": rate / 1e9,
        "engine, of the time those would take": measured["engine"].seconds * rate / flops,
        "a whole pass / the unavoidable": subject.shape.layers * subject.of_block() / flops,
    }
    return Table(title_of(subject, name), "cell and pair", measured, facts)


def recorded(subject: Subject, units: Sequence[Unit]) -> Cache:
    """The run that patches come from; every method needs it, so no arm is charged for it."""
    with torch.no_grad(), subject.model.record(*{unit.site for unit in units}) as source:
        subject.model(subject.more)
    return source


def swept(subject: Subject, hooks: Sequence[Hook]) -> Arm:
    def run() -> float:
        sweep(subject.model, subject.base, hooks)
        return len(hooks) * len(subject.base)

    return run


Making = Callable[[Sequence[int]], Sequence[Hook]]  # the hooks of all cells for some pairs


def some_of(n_cells: int, share: float) -> list[int]:
    """The random part of the cells that long arms run."""
    return random.Random(0).sample(range(n_cells), max(2, round(share * n_cells / 4)))


def one_by_one(subject: Subject, making: Making, share: float) -> dict[str, Arm]:
    """One whole hooked forward pass per cell: a pair at a time, or all pairs as one batch.

    A random part of the cells, since each takes the same. TransformerLens' models hold every
    attention pattern, ours only where it is watched, so both are measured.
    """
    model, n = subject.model, len(subject.base)
    sides = [[i] for i in range(min(4, n))], [list(range(n))]
    chosen = some_of(len(making([0])), share)
    watched = [(site.hook, lambda pattern, hook: None) for site in model.sites("pattern")]

    def arm(parts: Sequence[list[int]], watch: list) -> Arm:
        prepared = [(subject.base.take(rows), making(rows)) for rows in parts]

        @torch.no_grad()
        def run() -> float:
            for pairs, hooks in prepared:
                for i in chosen:
                    edit = partial(_edit, chosen=hooks[i], pairs=pairs)
                    model.run_with_hooks(pairs, fwd_hooks=[(hooks[i].unit.site.hook, edit), *watch])
            return len(chosen) * sum(len(pairs) for pairs, _ in prepared)

        return run

    return {
        "one forward per cell and pair": arm(sides[0], []),
        "  with every pattern held": arm(sides[0], watched),
        "one forward per cell, pairs batched": arm(sides[1], []),
        "  with every pattern held ": arm(sides[1], watched),
    }


def _edit(activation: Tensor, hook: object, *, chosen: Hook, pairs: Pairs) -> Tensor:
    return chosen(activation, pairs)


def patches(units: Sequence[Unit], source: Cache) -> Making:
    """Patches of some pairs alone, as a user would make them who runs one pair at a time."""

    def make(rows: Sequence[int]) -> list[Hook]:
        some = Cache({site: value[list(rows)] for site, value in source.items()})
        return [patch(unit, some) for unit in units]

    return make


def bare(subject: Subject, layers: Sequence[int], *, after_attention: bool) -> Arm:
    """As many rows of each suffix as the sweep has, less whole batches beyond four a layer."""
    names = ("resid_pre", "z")
    rows = [row % len(subject.base) for row in range(subject.rows)]
    with torch.no_grad(), subject.model.record(*names) as cache:
        subject.model(subject.base.take(rows))
    resid, z = cache.layers("resid_pre"), cache.layers("z")
    batches = max(1, min(4, len(layers) * len(subject.base) // subject.shape.layers // len(rows)))

    @torch.no_grad()
    def run() -> float:
        for layer in range(subject.shape.layers):
            for _ in range(batches):
                entered = z[layer] if after_attention else None
                plain.suffix(subject.original, layer, resid[layer], entered)
        return subject.shape.layers * batches * len(rows)

    return run


def title_of(subject: Subject, name: str) -> str:
    n, h, d, _ = subject.shape
    return (
        f"{name}: {n} x {d}, {h} heads, {len(subject.base)} pairs of {subject.n_tokens} tokens, "
        f"{torch.get_num_threads()} threads"
    )
