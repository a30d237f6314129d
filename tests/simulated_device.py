"""A second device without a GPU: real numbers, and a refusal wherever CUDA would refuse.

Within `simulated_device()` tensors can be put on `DEVICE`, as on a GPU: by `model.to(DEVICE)`,
`load(..., device=DEVICE)`, `torch.zeros(..., device=DEVICE)`. Such a tensor holds a tensor of main
memory, with which every operation is computed; autograd works on top, as for any backend. Before
an operation is computed, its operands are checked by the rules of CUDA:

- operands on two devices are refused, but for a number (a tensor without axes) of main memory
  beside tensors of the device, in the pointwise operations where torch takes one;
- a tensor in main memory is never indexed by tensors of the device; the reverse is allowed;
- values put at indices are on the device of the whole, or a number;
- nothing in main memory is written from the device, but for copies (`copy_`, `to`, `cpu`);
- random numbers come from a generator of the device on which they are made;
- `numpy()` without `force=True` is refused, and so are products of matrices of integers, for
  which CUDA has no kernel.

It shows that no step mixes devices, and that each gives the numbers that it gives in main memory,
random ones included. Only a GPU can show what its own kernels round, how much memory and time
they take, whether they are deterministic, what its generator draws, and what happens between
several GPUs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.utils._python_dispatch import TorchDispatchMode


# A type for which a build without GPUs initialises nothing, and autograd needs no thread.
DEVICE: Final = torch.device("lazy", 0)
CPU: Final = torch.device("cpu")

aten: Final = torch.ops.aten
COPIES: Final = {aten.copy_.default, aten._to_copy.default}
INDEXING: Final = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
# They take a number of main memory, as pointwise operations do, and are not tagged so.
TAKE_NUMBERS: Final = {
    aten.fill.Tensor,
    aten.fill_.Tensor,
    aten.masked_fill.Tensor,
    aten.masked_fill_.Tensor,
    aten.where.self,
}
PRODUCTS: Final = {
    aten.mm.default,
    aten.bmm.default,
    aten.addmm.default,
    aten.baddbmm.default,
    aten.mv.default,
    aten.addmv.default,
    aten.dot.default,
}


class OnDevice(Tensor):
    """A tensor on `DEVICE`, whose numbers are those of `held`."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        made = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    # What torch refuses to a tensor class of Python, and CUDA's tensors have.

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy: use Tensor.cpu()")
        return self.detach().cpu().numpy()

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)  # pyright: ignore

    @data.setter
    def data(self, value: "OnDevice") -> None:
        self.held = value.held
        Tensor.data.__set__(self, value)  # pyright: ignore

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"{self.held!r} on {DEVICE}"


OF_TORCH: Final = torch.Generator


class AnyGenerator(type(OF_TORCH)):
    """While `Generator` stands in for torch's, those of torch are generators too."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, OF_TORCH)


class Generator(OF_TORCH, metaclass=AnyGenerator):
    """A generator of any device, which draws the numbers that main memory's draws."""

    # What an operation is given is another object of Python around the same generator.
    made: Final = WeakValueDictionary[int, "Generator"]()

    def __new__(cls, device: torch.device | str = CPU) -> "Generator":
        made = super().__new__(cls, CPU)
        made.of = torch.device(device)
        cls.made[made._cdata] = made
        return made

    @property
    def device(self) -> torch.device:
        return self.of


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """What `func` gives, on the device where it belongs.

    Raises:
        RuntimeError: CUDA would refuse it.
    """
    given = [*leaves(args), *leaves(kwargs)]
    on_device = [each for each in given if isinstance(each, OnDevice)]
    place = DEVICE if on_device else CPU
    for each in given:
        if isinstance(each, torch.device):
            place = each
    if func is aten._fused_sdp_choice.default:
        return SDPBackend.MATH.value  # made of operations, of which each is checked
    for each in given:
        if isinstance(each, OF_TORCH):
            refuse_generator(each, place)
    if on_device:
        refuse(func, args, [each for each in given if isinstance(each, Tensor)], kwargs)
    elif place == CPU:
        return func(*args, **kwargs)
    owners = {id(each.held): each for each in on_device}

    def placed(value: Any) -> Any:
        if not isinstance(value, Tensor) or any(value is each for each in given):
            return value
        if (owner := owners.get(id(value))) is not None:
            return owner
        return OnDevice(value) if place.type == DEVICE.type else value

    found = mapped(placed, func(*mapped(held, args), **mapped(held, kwargs)))
    if torch.Tag.inplace_view in func.tags:  # torch keeps the shape once more (`squeeze_`)
        for each in on_device:
            Tensor.data.__set__(each, OnDevice(each.held))  # pyright: ignore
    return found


def leaves(value: Any) -> Iterator[Any]:
    """All that lists, tuples and a dictionary hold."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, dict):
        yield from leaves([*value.values()])
    else:
        yield value


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """The same lists, tuples or dictionary of what becomes of each that they hold."""
    if isinstance(value, list | tuple):
        kind = list if isinstance(value, list) else tuple
        return kind([mapped(change, each) for each in value])
    if isinstance(value, dict):
        return {name: mapped(change, each) for name, each in value.items()}
    return change(value)


def held(value: Any) -> Any:
    """What main memory has in the place of a value."""
    if isinstance(value, OnDevice):
        return value.held
    return CPU if isinstance(value, torch.device) else value


def refuse_generator(generator: torch.Generator, place: torch.device) -> None:
    """Raise where a generator is not of the device for which it draws.

    Raises:
        RuntimeError: names both.
    """
    found = Generator.made.get(generator._cdata, generator).device
    if found.type != place.type:
        raise RuntimeError(
            f"Expected a '{place.type}' device type for generator but found '{found.type}'"
        )


def refuse(func: Any, args: Any, tensors: Sequence[Tensor], kwargs: Any) -> None:
    """Raise where CUDA would: not all tensors of an operation are on the device, or its kind.

    Raises:
        RuntimeError: names the operation.
    """
    if func in PRODUCTS and not tensors[0].dtype.is_floating_point:
        raise RuntimeError(f"{func} is not implemented for {tensors[0].dtype} on {DEVICE}")
    if func in COPIES or all(isinstance(each, OnDevice) for each in tensors):
        return
    takes_numbers = func in TAKE_NUMBERS or torch.Tag.pointwise in func.tags
    alike = tensors
    if func in INDEXING:
        whole, indices = args[0], args[1]
        if not isinstance(whole, OnDevice) and any(isinstance(i, OnDevice) for i in indices):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
            )
        alike, takes_numbers = [whole, *args[2:3]], True
    elif any(not isinstance(each, OnDevice) for each in written(func, args, kwargs)):
        raise RuntimeError(f"{func} would write what is on {DEVICE} into main memory")
    places = {each.device for each in alike if each.dim() > 0 or not takes_numbers}
    if len(places) > 1:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{DEVICE} and cpu! ({func})"
        )


def written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors that `func` changes."""
    arguments = func._schema.arguments
    by_name = dict(zip([each.name for each in arguments], args, strict=False)) | kwargs
    found = [by_name.get(each.name) for each in arguments if each.is_write]
    return [each for each in leaves(found) if isinstance(each, Tensor)]


class Placing(TorchDispatchMode):
    """Lets what is made on `DEVICE`, or moved there, be `OnDevice`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


@contextmanager
def simulated_device() -> Iterator[torch.device]:
    """`DEVICE` is there, for the length of the block."""
    asked = torch.is_autocast_enabled

    def is_autocast_enabled(kind: str = "cuda") -> bool:
        return kind != DEVICE.type and asked(kind)  # torch refuses to be asked for this type

    with (
        patch.object(torch, "Generator", Generator),
        patch.object(torch, "is_autocast_enabled", is_autocast_enabled),
        Placing(),
        only_lift(),
    ):
        yield DEVICE


@contextmanager
def only_lift() -> Iterator[None]:
    """`torch.tensor(..., device=)` makes the tensor in main memory, and shows the move."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
