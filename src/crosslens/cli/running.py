"""A run, from what was asked to its folder: the same steps for every command."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, UTC
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TYPE_CHECKING

import typer
from rich.console import Console

from .gate import interrupted
from .terminal import watching


if TYPE_CHECKING:
    from ..corpora.collection import Collection
    from ..findings import Findings
    from ..model.encoder import CrossEncoder
    from .terminal import Watch

PLANTED: Final = "planted:bm25"
EMBEDDED: Final = "embedded"


def default_model() -> str:
    """The embedded reranker where the installation has one, else a planted model."""
    folder = files("crosslens") / "default" / "reranker"
    return EMBEDDED if (folder / "config.json").is_file() else PLANTED


@dataclass(frozen=True)
class Running:
    """What a command has to work with."""

    model: "CrossEncoder | None"
    collections: "tuple[Collection, ...]"
    findings: "Findings"
    watch: "Watch"


@contextmanager
def running(
    asked: Mapping[str, Any],
    out: Path,
    *,
    model: str | None,
    collections: Sequence[str],
    device: str | None,
    resume: bool,
    say: Console,
    also: Mapping[str, Any] | None = None,
    kept: bool = True,
    only: Set[str] | None = None,
) -> Iterator[Running]:
    """Model and texts, and a run in `out` that was asked for the same, new or resumed.

    `also` is further provenance. An interruption says what is kept and how to go on, where the
    run is `kept`. Where there is `only`, no other documents are read.
    """
    from ..corpora.reading import collection
    from ..findings import Findings
    from ..model.load import load
    from ..provenance import provenance

    check_device(device)
    what = "" if model is None else f"{model} and "
    say.print(f"Loading {what}collection {', '.join(collections)}", soft_wrap=True)
    texts = tuple(collection(name, only=only) for name in collections)
    loaded = None if model is None else load(model, device=device)
    origin = {**provenance(*texts, model=loaded), **(also or {})}
    findings = Findings.create(out, asked, provenance=origin, resume=resume)
    command = shlex.join(["crosslens", *sys.argv[1:]])
    findings.note(commands=[*findings.meta.get("commands", ()), command])
    with keeping(findings) if kept else nullcontext(), watching(say) as watch:
        yield Running(loaded, texts, findings, watch)


def check_device(name: str | None) -> None:
    """Refuses a device that this machine does not have.

    Raises:
        ValueError: names the devices there are.
    """
    if name is None:
        return
    import torch

    try:
        torch.zeros(1, device=name).cpu()
    except Exception as error:  # torch raises AssertionError, RuntimeError, NotImplementedError …
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        known += ["mps"] if torch.backends.mps.is_available() else []
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"--device is {name!r}, and torch cannot use it ({why}); this machine has "
            f"{', '.join(known)}"
        ) from None


@contextmanager
def keeping(findings: "Findings") -> Iterator[None]:
    """Notes how long the run took; an interruption says what is kept and how to go on."""
    begun, before = time.monotonic(), findings.meta.get("seconds", 0)
    try:
        yield
    except KeyboardInterrupt as error:
        findings.note(seconds=before + time.monotonic() - begun)
        kept = ", ".join(findings.tables()) or "nothing yet"
        code = interrupted(
            error,
            f"Kept in {findings.folder}: {kept}.\n"
            "The same command with --resume goes on from there.",
        )
        raise typer.Exit(code) from None
    findings.note(
        seconds=before + time.monotonic() - begun,
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
