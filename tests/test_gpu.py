"""On a GPU, where there is one, every measurement gives the numbers of main memory.

What `test_second_device.py` shows of the code on a simulated device, shown of the kernels too, in
float64. A checkpoint is compared with its original in float32 when it is loaded, so that products
are computed in full float32.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from test_second_device import (
    DrawsNothing,
    every_site,
    MEASURES,
    require_same,
    require_same_run,
    RUNS,
)
from tiny import AND_DECODER, KIN

from crosslens.batching import BatchSize


pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def in_full_float32(unchecked: None) -> Iterator[None]:
    """No TF32, whatever this machine sets, and no random number from the GPU."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with DrawsNothing():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measurement_is_the_same(name: str):
    require_same(MEASURES[name], place=GPU)


@pytest.mark.parametrize("family", [*AND_DECODER[1:], *KIN, "gemma2", "t5"])
def test_a_model_of_each_family_is_the_same(family: str):
    require_same(every_site, family, place=GPU)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_the_same(name: str, tmp_path: Path):
    require_same_run(RUNS[name], tmp_path, place=GPU)


def test_a_draw_on_the_gpu_is_refused():
    """Without this no test here would see one."""
    with pytest.raises(AssertionError, match="draws on the device"):
        torch.rand(3, device=GPU)


def test_a_batch_that_does_not_fit_is_halved():
    """At the allocator's own error; what the batch held is given back."""
    before = torch.cuda.memory_allocated(GPU)
    n_bytes = torch.cuda.mem_get_info(GPU)[0] * 3 // 8  # of one item: two fit, four do not
    size = BatchSize(4)

    def run(some: Sequence[int]) -> torch.Size:
        return torch.empty(len(some), n_bytes, dtype=torch.uint8, device=GPU).shape

    found = [*size.batches(run, range(4))]
    assert sum(len(some) for some, _ in found) == 4 and size.halvings >= 1
    assert torch.cuda.memory_allocated(GPU) == before
    torch.cuda.empty_cache()  # of which another process of this test run may have need
