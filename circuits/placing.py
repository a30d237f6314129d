"""Where the heads of a circuit write, and what they read there: the route of a signal.

A head writes where patching it at one token role, and nowhere else, restores most of a contrast.
What it writes there is z[dst] = Σ pattern[dst, src] v[src]; the share of the change of z that
comes from each token role is what it reads.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import torch

from crosslens import Cache, Contrast, Hooked, NotMeasurable, patching, Site, Unit
from crosslens.batching import by_length


HEADS: Final = ("z", "pattern", "v")


@torch.no_grad()
def placed(
    model: Hooked,
    contrast: Contrast,
    roles: Mapping[str, frozenset[Unit]],
    *,
    least: float | None = None,
    at_once: int = 16,
) -> pd.DataFrame:
    """One row per head of `roles`, with what it restores and the token roles of its route.

    Columns: unit, name ("3.7"), layer, role; effect with its 95 % interval and n, of the whole
    head; `writes` and `writes_effect`, the token role at which it restores most; `reads` and
    `reads_share`, whence most of the change there comes. `least` is as in `patching`.
    """
    part = {unit: role for role, units in roles.items() for unit in units}
    heads = sorted(unit for unit in part if unit.site.name == "z")
    if not heads:
        raise NotMeasurable("a circuit without heads has no route to draw")
    names = [name for name in contrast.base.roles if contrast.base.where(name).any()]
    names = [name for name in names if name != "[PAD]"]
    places = [unit.site.at(**dict(unit.coordinates), pos=name) for unit in heads for name in names]
    effects = patching(model, contrast, [*heads, *places], least=least)
    whole = effects.summary().set_index("unit")
    mean = effects.mean.cpu().numpy()[len(heads) :].reshape(len(heads), len(names))
    writes = [names[i] for i in np.nan_to_num(np.abs(mean)).argmax(axis=1)]
    reads = read_from(model, contrast, heads, writes, names, at_once=at_once)
    rows = []
    for i, unit in enumerate(heads):
        found = whole.loc[str(unit)]
        source = int(np.argmax(reads[i]))
        rows.append(
            {
                "unit": str(unit),
                "name": name_of(unit),
                "layer": unit.site.layer,
                "role": part[unit],
                "effect": float(found["mean"]),
                "low": float(found["low"]),
                "high": float(found["high"]),
                "n": int(found["n"]),
                "writes": writes[i],
                "writes_effect": float(mean[i, names.index(writes[i])]),
                "reads": names[source],
                "reads_share": float(reads[i, source]),
            }
        )
    return pd.DataFrame(rows)


@torch.no_grad()
def read_from(
    model: Hooked,
    contrast: Contrast,
    heads: Sequence[Unit],
    writes: Sequence[str],
    names: Sequence[str],
    *,
    at_once: int,
) -> np.ndarray:
    """The share of each head's change of z, where it writes, that comes from each token role."""
    sites = [Site(name, layer) for layer in {h.site.layer for h in heads} for name in HEADS]
    shares, total = np.zeros((len(heads), len(names))), np.zeros(len(heads))

    def read(rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
        some = contrast.take(rows)
        with model.record(*sites) as base:
            model(some.base)
        with model.record(*sites) as more:
            model(some.more)
        parts, sizes = np.zeros_like(shares), np.zeros_like(total)
        for i, (unit, role) in enumerate(zip(heads, writes, strict=True)):
            at = some.base.where(role)
            change = (more[unit] - base[unit]) * at[:, :, None]
            sizes[i] = float(change.square().sum())
            for j, name in enumerate(names):
                source = some.base.where(name)
                part = carried(more, unit, source) - carried(base, unit, source)
                parts[i, j] = float((part * change).sum())
        return parts, sizes

    for _, (parts, sizes) in by_length(read, contrast.base, at_once):
        shares += parts
        total += sizes
    return shares / np.maximum(total, np.finfo(float).tiny)[:, None]


def carried(cache: Cache, unit: Unit, source: torch.Tensor) -> torch.Tensor:
    """The part of a head's z that it reads from the tokens of `source`: [pair, pos, d_head]."""
    layer, index = unit.site.layer, dict(unit.coordinates)["head"]
    assert isinstance(index, int)
    patterns, values = cache[Site("pattern", layer)], cache[Site("v", layer)]
    shared = index * values.shape[2] // patterns.shape[1]  # heads may share values
    pattern, v = patterns[:, index], values[:, :, shared]
    return (pattern * source[:, None, :]) @ v


def name_of(unit: Unit) -> str:
    """A head as papers write it: 3.7."""
    return f"{unit.site.layer}.{dict(unit.coordinates)['head']}"
