"""Where the time of a head sweep goes, operation by operation."""

from collections.abc import Mapping
from typing import Final

from torch.profiler import profile, ProfilerActivity

from crosslens import patch

from .subject import Subject
from .sweeps import recorded, swept, title_of
from .timing import Table


# What an operation is for, by a part of its name; the first that fits.
SORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "attention, fused": ("scaled_dot_product",),
    "matrix products": ("addmm", "::mm", "::bmm"),
    "GELU": ("gelu",),
    "LayerNorm": ("layer_norm",),
    "copies": ("copy_", "::cat", "::index", "fill_", "zero_"),
    "additions": ("::add",),
    "what the edits moved": ("::ne", "::any", "::bitwise"),
}


def profiled(subject: Subject, rounds: int, share: float) -> Table:
    """Shares of the time within operations; the rest is Python and torch's own bookkeeping."""
    units = subject.model.heads()
    source = recorded(subject, units)
    run = swept(subject, [patch(unit, source) for unit in units])
    run()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run()
    taken = dict.fromkeys([*SORTS, "other"], 0.0)
    for event in seen.key_averages():
        sorts = (sort for sort, parts in SORTS.items() if any(part in event.key for part in parts))
        taken[next(sorts, "other")] += event.self_cpu_time_total
    whole = sum(taken.values())
    facts = {f"share of {sort}": time / whole for sort, time in taken.items()}
    return Table(title_of(subject, "profile of a head sweep"), "sweep", {}, facts)
