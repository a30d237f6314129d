"""The simulated device refuses what CUDA refuses, allows what it allows, and counts right."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from simulated_device import DEVICE, simulated_device
from torch import nn, Tensor
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def there() -> Iterator[None]:
    with simulated_device():
        yield


def here() -> Tensor:
    return torch.arange(12.0, device=DEVICE).reshape(3, 4)


def main() -> Tensor:
    return torch.arange(12.0).reshape(3, 4)


ROWS = [0, 2]
REFUSED: dict[str, Callable[[], object]] = {
    "operands of two devices": lambda: here() + main(),
    "a joint tensor": lambda: torch.cat([here(), main()]),
    "a number in a joint tensor": lambda: torch.stack([here()[0, 0], torch.tensor(1.0)]),
    "a product": lambda: here() @ main().T,
    "main memory indexed by rows of the device": lambda: main()[torch.tensor(ROWS, device=DEVICE)],
    "main memory indexed by a mask of the device": lambda: main()[here() > 3],
    "main memory written at rows of the device": lambda: main().__setitem__(
        torch.tensor(ROWS, device=DEVICE), 0.0
    ),
    "values of main memory at rows": lambda: here().__setitem__(ROWS, torch.ones(2, 4)),
    "main memory changed by the device": lambda: main().add_(here()),
    "a number of main memory changed by the device": lambda: torch.tensor(1.0).add_(here()[0, 0]),
    "a mask of main memory": lambda: here().masked_fill(main() > 3, 0.0),
    "a choice by a mask of main memory": lambda: torch.where(main() > 3, here(), 0.0),
    "rows by index_select": lambda: here().index_select(0, torch.tensor(ROWS)),
    "rows of a table": lambda: F.embedding(torch.tensor(ROWS), here()),
    "gathering": lambda: here().gather(0, torch.zeros(1, 4, dtype=torch.long)),
    "membership": lambda: torch.isin(here(), torch.tensor([1.0, 2.0])),
    "a generator of main memory": lambda: torch.rand(
        3, generator=torch.Generator().manual_seed(0), device=DEVICE
    ),
    "a generator of the device for main memory": lambda: torch.rand(
        3, generator=torch.Generator(DEVICE)
    ),
    "products of integers": lambda: here().long() @ here().long().T,
    "numpy": lambda: here().numpy(),
    "numpy unasked": lambda: np.asarray(here()),
}

ALLOWED: dict[str, Callable[[], Tensor]] = {
    "a number of main memory": lambda: here() * torch.tensor(2.0),
    "a mask filled with a number": lambda: here().masked_fill(here() > 3, torch.tensor(7.0)),
    "rows of main memory": lambda: here()[torch.tensor(ROWS)],
    "a mask of main memory as index": lambda: here()[main() > 3],
    "a list of rows": lambda: here()[ROWS],
    "a copy from main memory": lambda: here().copy_(main() + 1),
    "what moves": lambda: main().to(DEVICE) + here(),
    "what is made alike": lambda: here().new_ones(4) + torch.zeros_like(here()),
    "a table made there": lambda: torch.tensor([1.0, 2.0], device=DEVICE),
    "a generator of the device": lambda: torch.rand(
        3, generator=torch.Generator(DEVICE), device=DEVICE
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cuda_refuses_is_refused(what: str):
    with pytest.raises((RuntimeError, TypeError)):
        REFUSED[what]()


@pytest.mark.parametrize("what", ALLOWED)
def test_what_cuda_allows_is_done(what: str):
    found = ALLOWED[what]()
    assert found.device == DEVICE and found.cpu().device.type == "cpu"


def test_numbers_are_those_of_main_memory():
    x, rows = here(), torch.tensor(ROWS, device=DEVICE)
    x[rows, 1] = torch.tensor(-1.0)
    x[:, 3] = main()[:, 0]
    x[:, :2].mul_(2)
    y = main()
    y[ROWS, 1], y[:, 3] = -1.0, y[:, 0].clone()
    y[:, :2].mul_(2)
    assert torch.equal(x.cpu(), y) and x.tolist() == y.tolist()
    assert (x.numpy(force=True) == y.numpy()).all()
    assert [float(x.sum()), int(x.argmax()), bool(x.any())] == [y.sum(), y.argmax(), True]
    assert x.quantile(0.3).item() == y.quantile(0.3).item()  # changes shapes in place


def test_gradients_pass_through_it():
    def slope(device: torch.device | None) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        layer = nn.Linear(4, 2).to(device)
        x = main().to(device).requires_grad_()
        loss = layer(x).softmax(dim=-1)[ROWS].square().sum()
        (of_x,) = torch.autograd.grad(loss, x, retain_graph=True)
        loss.backward()
        assert layer.weight.grad is not None and of_x.device == x.device == layer.weight.device
        return of_x.cpu(), layer.weight.grad.cpu()

    for found, expected in zip(slope(DEVICE), slope(None), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_module_changes_its_numbers_on_the_device():
    layer = nn.Linear(4, 2).to(DEVICE)
    before = layer.weight.cpu()
    layer.double()
    assert layer.weight.dtype == torch.float64 and layer.weight.device == DEVICE
    assert torch.equal(layer.weight.cpu(), before.double())
