"""Wall-clock time of a patching run by one process, and by several under torchrun; equal tables.

The whole command is timed, with what every process does by itself: imports, loading, contrasts.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from crosslens import Findings

from .timing import interleaved, Table


TABLES = ("units", "places", "heads")
WANTED = 1.6  # times faster, of two processes on two cores that nobody else uses


def processes(model: str, *, pairs: int, rounds: int, n: int = 2) -> Table:
    """`crosslens analyse signal_patching MODEL` by one process and by `n`, a thread each.

    Raises:
        AssertionError: a table of several processes is not, bit for bit, that of one.
    """
    with TemporaryDirectory() as folder:
        made: dict[str, list[Path]] = {"one process": [], f"{n} processes": []}

        def run(name: str, *launcher: str) -> float:
            out = Path(folder) / f"{name} {len(made[name])}"
            asked = ["analyse", "signal_patching", model, "--pairs", f"{pairs}", "--quiet"]
            command = [sys.executable, *launcher, "-m", "crosslens", *asked, "--out", str(out)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(command, env=environment, capture_output=True, check=True)
            made[name].append(out)
            return 1

        one, several = made
        torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", f"{n}")
        arms = {several: lambda: run(several, *torchrun), one: lambda: run(one)}
        measured = interleaved(arms, rounds=rounds)
        first, *others = (Findings.open(out) for outs in made.values() for out in outs)
        for other in others:
            for name in TABLES:
                assert first.read(name).equals(other.read(name)), f"{other.folder}: {name} differs"
        facts = {
            "times faster": measured[one].ratio,
            "wanted": WANTED,
            "equal tables": float(len(others)),
        }
    return Table(f"patching {model}, {pairs} pairs of each signal", "run", measured, facts)
