"""How much a forward pass holds, and how much there may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import psutil
import torch
from torch import Tensor

from ..batching.batches import liked, require_one
from ..hooks import Hooked
from ..pairs import Pairs
from ..sites import Site


@dataclass(frozen=True)
class Footprint:
    """The bytes that one pair of a batch takes, padding included, and those there may be."""

    axes: Mapping[str, int]  # how long each axis of a site is
    n_layers: int
    itemsize: int
    device: torch.device
    budget: int

    @classmethod
    def of(cls, model: Hooked, pairs: Pairs, memory_budget: int | None = None) -> "Footprint":
        """What one of `pairs` takes in `model`; `memory_budget` as in `budget_on`."""
        width, device = pairs.token.shape[1], model.device
        hold_pages(device)
        axes = {**model.sizes, "label": 1, "pair": 1, "pos": width, "dst": width, "src": width}
        n_layers, budget = len(model.block_outputs()), budget_on(device, memory_budget)
        return cls(axes, n_layers, model.dtype.itemsize, device, budget)

    def of_sites(self, sites: Sequence[Site]) -> int:
        """What keeping `sites` takes."""
        return self.itemsize * sum(prod(site.shape(self.axes)) for site in sites)

    @property
    def block(self) -> int:
        """What a pass holds at the widest point of a block, with nothing kept for gradients.

        Ten streams (what was given, q, k, v, z and its copies, what is added), the neurons
        before and after their activation and once more inside it, and the scores and pattern
        as if they were not fused away.
        """
        a = self.axes
        return (
            self.of_sites([Site("resid_pre", 0)]) * 10
            + self.of_sites([Site("mlp_pre", 0)]) * 3
            + a["head"] * a["dst"] * a["src"] * self.itemsize * 4
        )

    @property
    def with_gradients(self) -> int:
        """What a pass holds at most when every block is kept for the way back."""
        return self.block * (self.n_layers + 1)

    def rows_with_gradients(
        self, model: Hooked, pairs: Pairs, rows: int, *, what: str, beside: int = 0, least: int = 1
    ) -> int:
        """How many rows, `rows` at most, fit the budget on the way there and back.

        `beside` is what each takes besides. Where the bound above would be too strict, what a
        row keeps is measured.

        Raises:
            MemoryError: fewer than `least` fit; `what` names the work.
        """
        if rows * (self.with_gradients + beside) <= self.budget:
            return rows
        each = kept_for_gradients(model, pairs) + self.block + beside
        found = min(rows, self.budget // each)
        if found < least:
            raise self.refuse(least * (self.with_gradients + beside), what)
        return found

    @property
    def tokens(self) -> int:
        """How long one row is."""
        return self.axes["pos"]

    def rows(self, *, each: int, beside: int = 0) -> int:
        """How many rows of `each` bytes are one batch: no more than the device likes.

        `beside` is what is held besides, whatever the number of rows. None may fit: 0.
        """
        most = liked(self.tokens, self.device.type)
        return min(most, max(0, self.budget - beside) // each)

    def fit(self, at_once: int, *, each: int, what: str) -> int:
        """How many pairs of `each` bytes, up to `at_once`, fit the budget.

        Raises:
            ValueError: `at_once` is below 1.
            MemoryError: not one pair fits; `what` names the work.
        """
        require_one(at_once)
        found = min(at_once, self.budget // each)
        if found < 1:
            raise self.refuse(each, what)
        return found

    def refuse(self, needed: int, what: str) -> MemoryError:
        """The error when not even the least fits."""
        return MemoryError(
            f"{what} needs about {needed / 2**20:.0f} MiB for pairs of {self.tokens} tokens, "
            f"the budget is {self.budget / 2**20:.0f} MiB: raise memory_budget, or take fewer or "
            "shorter pairs at once"
        )


def kept_for_gradients(model: Hooked, pairs: Pairs) -> int:
    """The bytes that the longest of `pairs` keeps for the way back: two rows, less one."""
    longest, width = int(pairs.lengths.argmax()), pairs.token.shape[1]

    def kept(rows: int) -> int:
        storages: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        enter = (Site("embed"), lambda x: x.detach().requires_grad_())
        with (
            torch.enable_grad(),
            model.tapped([enter]),
            torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        ):
            score = model(pairs.take([longest] * rows, width=width))
        del score  # it kept the storages alive, so that none was counted as another
        return sum(storages.values())

    return kept(2) - kept(1)  # the weights are in both


def budget_on(device: torch.device, memory_budget: int | None) -> int:
    """The bytes a caller allows; by default a quarter of what is free on `device`."""
    if memory_budget is not None:
        return memory_budget
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 4
    return psutil.virtual_memory().available // 4


def hold_pages(device: torch.device) -> None:
    """Let the C library keep what tensors give back, instead of fetching it anew each block.

    glibc returns large blocks to the system, and every page of the next tensor is then a fault
    and a page of zeros: a tenth of a sweep (measured, 6 x 384: 1.22 s with 54,000 faults, 1.10 s
    with a handful). It learns what to keep from the largest block that was ever freed, up to
    32 MiB (mallopt(3), M_MMAP_THRESHOLD); this frees one just below, no page of which is ever
    touched. From then on the process keeps up to twice that of what it has freed. Where another
    allocator serves, or the threshold is set by hand, it does nothing.
    """
    if device.type == "cpu":
        torch.empty(2**25 - 2**14, dtype=torch.uint8)
