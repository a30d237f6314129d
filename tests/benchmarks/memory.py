"""How much memory a sweep takes, in a process of its own, beside what it was foreseen to take."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from crosslens import head, patch, Site, sweep
from crosslens.engine.memory import Footprint

from .subject import SHAPES, subject
from .sweeps import recorded
from .timing import Table


STATUS = Path("/proc/self/status")
BUDGET = 3 * 2**30


def memory(shape: str, *, tokens: int, pairs: int, threads: int) -> Table:
    """Two heads of the first, middle and last layer, swept in a new process (Linux alone)."""
    command = [sys.executable, "-m", __name__, shape, *map(str, (tokens, pairs, threads))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout.splitlines()[-1])
    title = f"memory of a sweep: {shape}, {pairs} pairs of {tokens} tokens"
    return Table(title, "process", {}, facts)


def resident(name: str) -> float:
    """MiB of this process: `VmRSS` now, `VmHWM` at most since the last reset."""
    (line,) = (x for x in STATUS.read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) / 1024


def main(shape: str, tokens: int, pairs: int, threads: int) -> None:
    torch.set_num_threads(threads)
    made = subject(SHAPES[shape], tokens=tokens, pairs=pairs)
    layers = sorted({0, made.shape.layers // 2, made.shape.layers - 1})
    units = [head(layer, i) for layer in layers for i in range(2)]
    source = recorded(made, units)
    size = Footprint.of(made.model, made.base)
    kept = size.of_sites([Site(name, layer) for layer in layers for name in ("resid_pre", "z")])
    kept *= len(made.base)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak of building the model is not meant
    sweep(made.model, made.base, [patch(unit, source) for unit in units], memory_budget=BUDGET)
    print(
        json.dumps(
            {
                "MiB before": before,
                "MiB at most": resident("VmHWM"),
                "MiB taken": resident("VmHWM") - before,
                "MiB foreseen": (kept + made.rows * size.block) / 2**20,
                "MiB budget": BUDGET / 2**20,
            }
        )
    )


if __name__ == "__main__":
    shape, *numbers = sys.argv[1:]
    main(shape, *map(int, numbers))
