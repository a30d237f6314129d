"""Run the benchmarks by name; see the package's docstring."""

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from crosslens.report.question import Question

from . import __doc__ as usage
from .answering import answering
from .causal import causal
from .flows import bottlenecks, conductances
from .law import law
from .memory import memory
from .neurons import neurons
from .passages import passages
from .processes import processes
from .profile import profiled
from .report_steps import report_steps
from .searching import in_embedded, searching
from .soak import soak
from .states import masks, states
from .subject import SHAPES, subject
from .sweeps import heads, knockout, positions, roles
from .timing import Clock, Table


ONE_SUBJECT = {
    "heads": heads,
    "positions": positions,
    "roles": roles,
    "knockout": knockout,
    "neurons": neurons,
    "masks": masks,
    "states": states,
    "conductance": conductances,
    "bottleneck": bottlenecks,
    "search": searching,
    "profile": profiled,
}
NAMES = (
    *ONE_SUBJECT,
    "answers",
    "causal",
    "embedded",
    "law",
    "memory",
    "passages",
    "processes",
    "report",
    "soak",
)


def main(argv: Sequence[str] | None = None) -> list[Table]:
    parser = argparse.ArgumentParser(
        description=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--shape", choices=SHAPES, default="minilm")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.125, help="part of long arms that is run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--processor", action="store_true", help="time of the processor, not wall")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    chosen = parser.parse_args(argv)
    unknown = sorted(set(chosen.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")

    if chosen.processor:
        Clock.of_processor()
    before = torch.get_num_threads()
    torch.set_num_threads(chosen.threads)
    try:
        tables = list(run(chosen))
    finally:
        torch.set_num_threads(before)
    if chosen.json is not None:
        about = {"torch": torch.__version__, "machine": platform.processor(), **vars(chosen)}
        about["json"] = str(chosen.json)
        found = {"about": about, "tables": [table.json() for table in tables]}
        chosen.json.write_text(json.dumps(found, indent=1))
    return tables


def run(chosen: argparse.Namespace):
    """The tables, each printed as soon as it is there."""
    shape = SHAPES[chosen.shape]
    for name in chosen.names or NAMES:
        if name == "embedded":
            made = in_embedded(min(chosen.pairs, 16), chosen.rounds)
        elif name == "answers":
            made = answering(chosen.rounds)
        elif name == "causal":
            sizes = {"tokens": chosen.tokens, "pairs": chosen.pairs}
            made = causal(shape, **sizes, rounds=chosen.rounds, share=chosen.share)
        elif name == "law":
            pairs = min(chosen.pairs, 4)
            made = law(shape, tokens=chosen.tokens, pairs=pairs, rounds=chosen.rounds)
        elif name == "memory":
            pairs = min(chosen.pairs, 2)
            sizes = {"tokens": chosen.tokens, "pairs": pairs, "threads": chosen.threads}
            made = memory(chosen.shape, **sizes)
        elif name == "passages":
            made = passages(chosen.passages)
        elif name == "processes":
            made = processes("embedded", pairs=chosen.pairs, rounds=max(1, chosen.rounds // 3))
        elif name == "report":
            is_tiny = chosen.shape == "tiny"
            sizes = {"pairs": 2, "scored": 4, "ranking_pairs": 20} if is_tiny else {}
            model = "planted:bm25" if is_tiny else "embedded"
            made = report_steps(Question(model, "embedded", circuit=not is_tiny, **sizes))
        elif name == "soak":
            model = "planted:bm25" if chosen.shape == "tiny" else "embedded"
            made = soak(pairs=chosen.pairs, tokens=min(chosen.tokens, 64), model=model)
        else:
            subjected = subject(shape, tokens=chosen.tokens, pairs=chosen.pairs)
            made = ONE_SUBJECT[name](subjected, chosen.rounds, chosen.share)
        for table in [made] if isinstance(made, Table) else made:
            print(table, flush=True)
            yield table


if __name__ == "__main__":
    main()
