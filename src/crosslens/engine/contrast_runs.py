"""Both sides of a contrast as they run without hooks: run once, for all who ask.

Patching, attribution patching and the search that is made of both need the same of a
contrast: the scores of its two sides, and what some sites held. `ContrastRuns` takes pairs of like
length in bundles, runs a bundle when it is first asked for, and keeps what it saw as long as
the budget lasts; what was not kept is run again.

Where no unit names a position of the last block, and the score reads [CLS] alone, all runs
compute that one row there.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..batching.batches import require_one
from ..batching.recorded import recorded
from ..contrasts.contrast import Contrast
from ..hooks import Cache, Hooked
from ..pairs import Pairs
from ..sites import COMPUTED, Site, Unit
from .resume_points import needed


class Ran(NamedTuple):
    """What sites held, and the scores."""

    cache: Cache
    scores: Float[Tensor, " pair"]


class ContrastRuns:
    """The runs of a contrast that units are patched in: `base`, and `more` as the source."""

    def __init__(
        self, model: Hooked, contrast: Contrast, units: Sequence[Unit], *, at_once: int, budget: int
    ) -> None:
        """`at_once` pairs are one bundle; up to `budget` bytes are kept, `kept_bytes` so far."""
        require_one(at_once)
        self.model, self.contrast = model, contrast
        self.budget, self.kept_bytes = budget, 0
        self.sites = sorted({unit.site for unit in units}, key=lambda site: site.depth)
        self.wanted = needed(model, self.sites)  # of the base run, to patch any of the units
        self.bundles = [tuple(rows) for _, rows in contrast.base.like_lengths(at_once)]
        last = len(model.sites("resid_pre")) - 1
        late = [unit for unit in units if unit.site.depth[0] >= last]
        self.is_narrow = not any(COMPUTED & dict(unit.coordinates).keys() for unit in late)
        self._ran: dict[tuple[str, tuple[int, ...]], Ran] = {}

    def narrowed(self) -> AbstractContextManager[None]:
        """Enter this around every pass that reuses these runs: the last block may be one row."""
        return self.model.scored_row_only() if self.is_narrow else nullcontext()

    def pairs(self, side: str, rows: Sequence[int]) -> Pairs:
        """Some pairs of the side called "base" or "more"."""
        return (self.contrast.base if side == "base" else self.contrast.more).take(rows)

    @torch.no_grad()
    def run(self, side: str, rows: tuple[int, ...], sites: Sequence[Site] = ()) -> Ran:
        """What `sites` hold in a bundle of one side, and its scores."""
        known = self._ran.get((side, rows))
        if known is not None and all(site in known.cache for site in sites):
            return known
        with self.narrowed():
            cache, scores = recorded(self.model, self.pairs(side, rows), sites, at_once=len(rows))
        self.keep(side, rows, cache, scores)
        return Ran(cache, scores)

    def some(
        self, side: str, rows: tuple[int, ...], sites: Sequence[Site], chosen: Sequence[int]
    ) -> Ran:
        """The same of the `chosen` of a bundle, counted within it."""
        cache, scores = self.run(side, rows, sites)
        if len(chosen) == len(rows):
            return Ran(cache, scores)
        at = list(chosen)
        return Ran(Cache({site: cache[site][at] for site in sites}), scores[at])

    def keep(
        self, side: str, rows: tuple[int, ...], cache: Cache, scores: Float[Tensor, " pair"]
    ) -> None:
        """Remember a run: its scores, and of what its sites held all or nothing."""
        known = self._ran.get((side, rows), Ran(Cache(), scores)).cache
        new = {site: value.detach() for site, value in cache.items() if site not in known}
        size = sum(value.nbytes for value in new.values())
        if self.kept_bytes + size > self.budget:
            new, size = {}, 0
        self.kept_bytes += size
        self._ran[side, rows] = Ran(Cache({**known, **new}), scores.detach())

    def scores(self, side: str) -> Float[Tensor, " pair"]:
        """The scores of all pairs; bundles that were not run yet are, and kept for later."""
        sites = self.wanted if side == "base" else self.sites
        found = [self.run(side, rows, sites if self.budget > 0 else ()) for rows in self.bundles]
        return self.gathered([ran.scores for ran in found])

    def gathered(self, parts: Sequence[Tensor]) -> Float[Tensor, "... pair"]:
        """What was found of each bundle, with the pairs, the last axis, in their own order."""
        back = torch.tensor([*chain(*self.bundles)]).argsort()
        return torch.cat(list(parts), dim=-1)[..., back]
