"""Search in two stages: screen every unit by gradient, then patch the best candidates exactly.

Of L layers of H heads, an exact sweep runs about H L (L - 1) / 2 blocks for each pair that has
a contrast, and 2 L to know which have; the screening runs 3 L, and a candidate as many as there
are behind it. So the candidates are the largest estimates, and then as many more as the time
allows, of which heads of the last block take hardly any. Both stages work from one set of runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from typing import Final

from ...contrasts.contrast import Contrast
from ...engine.contrast_runs import ContrastRuns
from ...engine.memory import Footprint
from ...engine.resume_points import blocks_behind
from ...engine.sweep import Progress
from ...hooks import Hooked
from ...sites import Unit
from .attribution_patching import attribution_patching
from .effects import Effects
from .patching import patching


Screen = Callable[..., Effects]  # of the model, the contrast and the units
AT_ONCE: Final = 16  # pairs of like length whose runs both stages share
SPARE: Final = 0.9  # of the time that is left is given away: few rows fill their batches badly


def search(
    model: Hooked,
    contrast: Contrast,
    units: Sequence[Unit],
    *,
    screen: float = 0.2,
    keep: int = 10,
    by: Screen = attribution_patching,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Effects:
    """The exact effects of the units that look largest.

    These are the largest `keep` by estimate, but no more than the share `screen` of all; and
    further ones, in the order of the estimates, as long as the whole search takes no more than
    that share of the blocks that patching every unit would run. Those that run no block, such
    as heads of the last, are always among them. Units stand in the order of the estimate,
    largest in size first.

    What the estimate misses is not found: a backup that adds nothing while another part speaks
    has no slope at all at the base. `by=partial(attribution_patching, steps=5)` sees more of
    such, and `concordance` of estimate and exact effects on a few pairs says how much to trust
    either. A screen of one's own is called with model, contrast and units; if it takes `runs`
    too, it may use the runs that the exact stage will use.

    Raises:
        ValueError: a share outside (0, 1]; `keep` below 1; no units; no pair has a contrast.
        MemoryError: the budget does not hold one pair.
    """
    if not 0 < screen <= 1:
        raise ValueError(f"screen={screen}: the share of units to patch exactly, above 0, up to 1")
    if keep < 1:
        raise ValueError(f"keep={keep}: search for one unit at least")
    if not units:
        raise ValueError("no unit to search")
    size = Footprint.of(model, contrast.base, memory_budget)
    half = replace(size, budget=size.budget // 2)  # the other is for what runs keep
    beside = 2 * size.of_sites(list({unit.site for unit in units}))  # what patching holds
    fit = half.rows_with_gradients(
        model, contrast.base, AT_ONCE, what="the search in one pair", beside=beside
    )
    runs = ContrastRuns(model, contrast, units, at_once=fit, budget=half.budget)

    shared = {"runs": runs} if "runs" in signature(by).parameters else {}
    estimate = by(model, contrast, units, **shared)
    # units whose role no pair has are nan: they come last
    size_of = estimate.mean.abs().nan_to_num(nan=-1)
    cost = blocks_behind(model, units)
    n_patched = len(contrast) - estimate.n_skipped
    n_passed = len(contrast) * (size.n_layers - model.reads_scored_row)
    at_least = min(keep, max(1, int(screen * len(units))))
    left = SPARE * (screen * (n_patched * sum(cost) + 2 * n_passed) - 3 * n_passed)
    chosen = []
    for i in size_of.argsort(descending=True, stable=True).tolist():
        if len(chosen) < at_least or n_patched * cost[i] <= max(left, 0):
            chosen.append(units[i])
            left -= n_patched * cost[i]
    return patching(
        model, contrast, chosen, memory_budget=memory_budget, progress=progress, runs=runs
    )
