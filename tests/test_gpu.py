"""On a GPU, where there is one, every measurement gives the numbers of main memory.

What `test_second_device.py` shows of the code on a simulated device, shown of the kernels too, in
float64. The bottleneck draws its noise on the device, whose random numbers are others.
"""

import pytest
import torch
from test_second_device import every_site, MEASURES, require_same
from tiny import AND_DECODER, KIN


pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")

GPU = torch.device("cuda", 0)


@pytest.mark.parametrize("name", [name for name in MEASURES if "bottleneck" not in name])
def test_a_measurement_is_the_same(name: str, unchecked: None):
    require_same(MEASURES[name], place=GPU)


@pytest.mark.parametrize("family", [*AND_DECODER[1:], *KIN, "gemma2", "t5"])
def test_a_model_of_each_family_is_the_same(family: str, unchecked: None):
    require_same(every_site, family, place=GPU)
