"""Arms measured in turn, so that their ratios survive a machine that others use."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter, process_time

import torch


Arm = Callable[[], float]  # does some work; returns how many units of work that was


@dataclass(frozen=True)
class Measured:
    """Seconds per unit of work, and how many times those of the first arm that is."""

    seconds: float
    ratio: float
    low: float  # the smallest and the largest ratio of any round
    high: float


@dataclass(frozen=True)
class Table:
    """What a benchmark found: its arms, and facts beside them."""

    title: str
    unit: str
    arms: Mapping[str, Measured]
    facts: Mapping[str, float]

    def __str__(self) -> str:
        lines = [f"== {self.title}"]
        for name, m in self.arms.items():
            each = f"{m.seconds * 1e3:10.3f} ms per {self.unit}"
            lines.append(f"  {name:44s}{each}   x {m.ratio:7.2f}  ({m.low:.2f} to {m.high:.2f})")
        lines += [f"  {name:44s}{value:10.4g}" for name, value in self.facts.items()]
        return "\n".join(lines)

    def json(self) -> dict:
        return asdict(self)


class Clock:
    """Wall time, or the processor's, which a busy machine disturbs less (with one thread)."""

    now = staticmethod(perf_counter)

    @classmethod
    def of_processor(cls) -> None:
        cls.now = staticmethod(process_time)


def interleaved(arms: Mapping[str, Arm], *, rounds: int) -> dict[str, Measured]:
    """Every arm once per round; the first is what the others are compared with."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            start = Clock.now()
            units = arm()
            taken[name].append((Clock.now() - start) / units)
    first = next(iter(taken.values()))
    measured = {}
    for name, seconds in taken.items():
        ratios = [s / f for s, f in zip(seconds, first, strict=True)]
        measured[name] = Measured(median(seconds), median(ratios), min(ratios), max(ratios))
    return measured


def matmul_rate(rows: int, width: int, *, seconds: float = 0.5) -> float:
    """Floating-point operations per second of the matrix products that a model is made of."""
    x, w = torch.randn(rows, width), torch.randn(4 * width, width)
    rates = []
    end = perf_counter() + seconds
    while perf_counter() < end:
        start = Clock.now()
        torch.nn.functional.linear(x, w)
        rates.append(2 * rows * width * 4 * width / (Clock.now() - start))
    return median(rates)
