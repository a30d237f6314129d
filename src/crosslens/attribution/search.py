"""Search in two stages: screen every unit by gradient, then patch the best candidates exactly."""

from collections.abc import Callable, Sequence

from ..contrasts.contrast import Contrast
from ..hooks import Hooked
from ..sites import Unit
from .gradient import attribution_patching
from .patching import Effects, patching
from .sweep import Progress


Screen = Callable[[Hooked, Contrast, Sequence[Unit]], Effects]


def search(
    model: Hooked,
    contrast: Contrast,
    units: Sequence[Unit],
    *,
    screen: float = 0.2,
    by: Screen = attribution_patching,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Effects:
    """The exact effects of the units that look largest: at most the share `screen` of them all.

    Units stand in the order of the estimate, largest in size first. What the estimate misses
    is not found: a backup that adds nothing while another part speaks has no slope at all at
    the base. `by=partial(attribution_patching, steps=5)` sees more of such, and `concordance`
    of estimate and exact effects on a few pairs says how much to trust either.

    Raises:
        ValueError: a share outside (0, 1]; no units; no pair has a contrast.
    """
    if not 0 < screen <= 1:
        raise ValueError(f"screen={screen}: the share of units to patch exactly, above 0, up to 1")
    if not units:
        raise ValueError("no unit to search")
    estimate = by(model, contrast, units)
    # units whose role no pair has are nan: they come last
    size = estimate.mean.abs().nan_to_num(nan=-1)
    best = size.argsort(descending=True, stable=True)[: max(1, int(screen * len(units)))]
    return patching(
        model,
        contrast,
        [units[i] for i in best.tolist()],
        memory_budget=memory_budget,
        progress=progress,
    )
