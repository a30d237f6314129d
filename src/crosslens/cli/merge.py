"""`crosslens merge`: the tables of a run whose parts several processes have computed."""

from pathlib import Path
from typing import Annotated

import typer

from .gate import gate
from .options import Debug, Quiet
from .running import PARTS


def merge(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="The folder or file that the shards were given by --out."
        ),
    ],
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make the tables of a run of which every shard has ended, as one process would."""
    with gate(debug):
        from ..findings import CONFIG, Findings, SHARDS
        from ..shards import unsharded, with_options
        from . import app

        out = out.with_name(out.name.removesuffix(PARTS))
        parts = out.with_name(out.name + PARTS)
        folder = parts if parts.is_dir() else out
        made = sorted(path.parent for path in folder.glob(f"{SHARDS}/*-of-*/{CONFIG}"))
        counts = sorted({int(path.name.partition("-of-")[2]) for path in made})
        if not made:
            raise FileNotFoundError(
                f"{folder} holds no {SHARDS}; run the command with --shard 1/N to N/N and the same "
                "--out"
            )
        if len(counts) > 1:
            raise ValueError(
                f"{folder / SHARDS} holds shards of {' and of '.join(map(str, counts))}; delete "
                "those that are not of this run"
            )
        words = unsharded(Findings.open(made[0]).meta["commands"][-1])
        if out.exists() and folder != out:
            raise FileExistsError(f"{out} is there already; delete it to merge again")
        options = ["--out", str(out), "--resume", "--shard", f"merge/{counts[0]}"]
        options += ["--quiet"] * (quiet and "--quiet" not in words)
        options += ["--debug"] * (debug and "--debug" not in words)
        again = with_options(without_out(words), *options)
    raise typer.Exit(app(again[1:], standalone_mode=False) or 0)


def without_out(words: list[str]) -> list[str]:
    """A command line without its `--out`."""
    left = iter(words)
    kept = []
    for word in left:
        if word == "--out":
            next(left, None)
        elif not word.startswith("--out="):
            kept.append(word)
    return kept
