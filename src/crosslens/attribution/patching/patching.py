"""Activation patching: which parts of a model carry the difference between two inputs.

Each unit of the pair without a signal is given the value it has in the pair with it; the
share of the score that this restores is the unit's effect (Lu et al., 2025, section 3).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...batching.batch_size import BatchSize
from ...contrasts.contrast import Contrast
from ...engine.contrast_runs import ContrastRuns
from ...engine.memory import Footprint
from ...engine.sweep import Progress, sweep
from ...hooks import Hooked
from ...interventions.patch import patch
from ...sites import Unit
from .effects import Effects
from .recovery import recovery, smallest_contrast


@torch.no_grad()
def patching(
    model: Hooked,
    contrast: Contrast,
    units: Sequence[Unit],
    *,
    least: float | None = None,
    at_once: int = 16,
    memory_budget: int | None = None,
    progress: Progress | None = None,
    runs: ContrastRuns | None = None,
) -> Effects:
    """The share of `contrast` that each unit restores when patched from the side with the signal.

    A pair is skipped, and counted, if its two scores differ by less than `least`, by default
    the `smallest_contrast`. Pairs of like length are swept together, `at_once` of them, or
    fewer where `memory_budget` (in bytes) is short or memory runs out; `progress(done, total)`
    counts cells, a unit in one pair each. A unit that carries the same on both sides costs
    nothing. `runs` are the runs of this contrast without hooks, where they are made already.

    Raises:
        ValueError: `at_once` is below 1.
        MemoryError: the budget does not hold one pair.
    """
    sites = list(dict.fromkeys(unit.site for unit in units))
    size = Footprint.of(model, contrast.base, memory_budget)
    each = size.of_sites(sites)  # the run with the signal; a sweep has as much again at most
    fit = size.fit(at_once, each=2 * each + size.block, what="patching one pair")
    if runs is None:
        kept = size.budget - fit * (2 * each + size.block)
        runs = ContrastRuns(model, contrast, units, at_once=fit, budget=kept)

    base, target = runs.scores("base"), runs.scores("more")
    least = smallest_contrast(base, target) if least is None else least
    is_flat = recovery(base, base, target, least=least).isnan()
    patched = base.expand(len(units), -1).clone()
    done, total = len(units) * int(is_flat.sum()), patched.numel()
    for rows in runs.bundles:
        alive = [i for i, row in enumerate(rows) if not is_flat[row]]
        if not alive:
            continue
        width = int(contrast.base.lengths[list(rows)].max())

        def swept(
            some: Sequence[int],
            rows: tuple[int, ...] = rows,
            width: int = width,
            before: int = done,
        ) -> Tensor:
            source = runs.some("more", rows, sites, some)[0]

            def report(cells: int, _: int) -> None:
                if progress is not None:
                    progress(before + cells * len(some), total)

            with runs.narrowed():
                return sweep(
                    model,
                    contrast.base.take([rows[i] for i in some], width=width),
                    [patch(unit, source) for unit in units],
                    memory_budget=size.budget - runs.kept_bytes - each * len(some),
                    progress=report,
                    recording=lambda wanted: runs.some("base", rows, wanted, some),
                )

        for some, scores in BatchSize(len(alive), tokens=width).batches(swept, alive):
            patched[:, [rows[i] for i in some]] = scores
            done += len(units) * len(some)
            if progress is not None:
                progress(done, total)
    return Effects.of_change(contrast, units, patched - base, base, target, least=least)
