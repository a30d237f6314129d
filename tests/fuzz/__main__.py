"""Run the parts by name, and print what became of their inputs; see the package's docstring."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from hypothesis import given, HealthCheck, Phase, seed as seeded, settings, strategies as st

from .artefacts import artefact_parts
from .collections import collection_parts
from .outcome import Fault, Outcomes
from .texts import TEXT_PARTS


# Of all inputs; a checkpoint takes a tenth of a second, a text a millisecond.
SHARES = {
    "texts": 0.4,
    "trec": 0.08,
    "msmarco": 0.07,
    "beir": 0.07,
    "runs": 0.25,
    "circuits": 0.1,
    "run folders": 0.025,
    "checkpoints": 0.005,
}


def parts(folder: Path) -> dict[str, tuple[st.SearchStrategy, Callable]]:
    """What is drawn and what is done with it, by name."""
    for name in ("collection", "run", "circuits", "checkpoint"):
        (folder / name).mkdir()
    return {**TEXT_PARTS, **collection_parts(folder / "collection"), **artefact_parts(folder)}


def fuzz(inputs: int, name: str, *, seed: int = 0) -> Outcomes:
    """What became of a part's share of so many inputs.

    Raises:
        Fault: with the smallest input found that is neither read nor refused as it should be.
    """
    outcomes, round_ = Outcomes(), 0
    with TemporaryDirectory(prefix="crosslens-fuzz-") as folder:
        strategy, act = parts(Path(folder))[name]
        while outcomes.inputs < SHARES[name] * inputs:  # a draw may hold several inputs
            left = SHARES[name] * inputs - outcomes.inputs
            run_once(strategy, act, outcomes, n=int(left // 6) + 1, seed=seed + round_)
            round_ += 1
    return outcomes


def run_once(
    strategy: st.SearchStrategy, act: Callable, outcomes: Outcomes, *, n: int, seed: int
) -> None:
    """`act` on `n` draws; a fault is made smaller first, and its inputs are not counted."""

    @seeded(seed)
    @settings(
        max_examples=n,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    @given(strategy)
    def each(drawn) -> None:
        act(drawn, outcomes)

    each()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=sys.modules[__package__].__doc__)
    parser.add_argument("names", nargs="*", metavar="part", help=", ".join(SHARES))
    parser.add_argument("--inputs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(argv)
    if unknown := sorted(set(chosen.names) - set(SHARES)):
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(SHARES)}")
    torch.set_num_threads(1)
    total, faults = Outcomes(), 0
    for name in chosen.names or SHARES:
        begun = time.monotonic()
        try:
            outcomes = fuzz(chosen.inputs, name, seed=chosen.seed)
        except Fault as fault:
            faults += 1
            print(f"{name}: {fault}", *getattr(fault, "__notes__", ()), sep="\n", flush=True)
            continue
        total.counts.update(outcomes.counts)
        print(line(name, outcomes, time.monotonic() - begun), flush=True)
    print(f"{line('all', total, None)}  {faults} faults")
    return int(faults > 0)


def line(name: str, outcomes: Outcomes, seconds: float | None) -> str:
    counts = outcomes.counts
    took = "" if seconds is None else f"  {seconds:8.1f} s"
    return (
        f"{name:12s} {outcomes.inputs:8,} inputs  {counts['read']:8,} read  "
        f"{counts['refused']:8,} refused{took}"
    )


if __name__ == "__main__":
    sys.exit(main())
