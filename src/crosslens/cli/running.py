"""A run, from what was asked to its folder: the same steps for every command."""

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, UTC
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TYPE_CHECKING

import typer
from rich.console import Console

from .gate import deafen, GOES_ON, interrupted
from .terminal import watching


if TYPE_CHECKING:
    from ..corpora.collection import Collection
    from ..findings import Findings
    from ..model.encoder import CrossEncoder
    from ..shards import Shard
    from .terminal import Watch

PLANTED: Final = "planted:bm25"
PARTS: Final = ".parts"  # of the name of the folder beside the FILE of a ranking
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


def readable_texts(run: Running, say: Console) -> "tuple[Collection, ...]":
    """The collections without the texts that the model cannot read, which are named and noted.

    Raises:
        NotMeasurable: of a collection it can read no query, or no document.
    """
    from ..corpora.readable import named_few, readable

    if run.model is None:
        return run.collections
    found = [readable(run.model, each) for each in run.collections]
    several = len(found) > 1
    left_out = {
        f"{name} of {each.collection.name}" if several else name: why
        for each in found
        for name, why in each.left_out.items()
    }
    if left_out:
        run.findings.note(unreadable=left_out)
        say.print(
            f"{len(left_out):,} texts that the model cannot read are left out: "
            f"{named_few(left_out)}",
            soft_wrap=True,
        )
    return tuple(each.collection for each in found)


@contextmanager
def running(
    asked: Mapping[str, Any],
    out: Path,
    *,
    model: str | None,
    collections: Sequence[str],
    device: str | None,
    dtype: str = "fp32",
    resume: bool,
    say: Console,
    shard: str | None = None,
    unsplit: str = "",
    also: Mapping[str, Any] | None = None,
    kept: bool = True,
    only: Set[str] | None = None,
) -> Iterator[Running]:
    """Model and texts, and a run in `out` that was asked for the same, new or resumed.

    `shard` says which share of the run is this process's, as `shard_named` reads it; a command
    that is `unsplit` refuses, by this name, to be one of several. `also` is further provenance.
    An interruption says what is kept and how to go on, where the run is `kept`. Where there is
    `only`, no other documents are read.
    """
    from ..corpora.reading import collection
    from ..findings import Findings
    from ..model.load import load
    from ..model.precision import HALVES, precision
    from ..provenance import provenance
    from ..shards import is_restarted, Share, ShareDone
    from .precision import difference, float32_scores, scores, sentence, some_texts

    part = share_of(shard, unsplit)
    if part is not None:
        device = device_of(device, os.environ)
        say.quiet = say.quiet or not part.is_lead and part.waits
        resume = resume or is_restarted(os.environ)
    check_device(device)
    what = "" if model is None else f"{model} and "
    say.print(f"Loading {what}collection {', '.join(collections)}", soft_wrap=True)
    texts = tuple(collection(name, only=only) for name in collections)
    check_names(texts)
    is_half = precision(dtype) in HALVES
    some = some_texts(texts) if model is not None and is_half else []
    exact = float32_scores(model, device, some) if model is not None and some else None
    loaded = None if model is None else load(model, device=device, dtype=dtype)
    origin = {**provenance(*texts, model=loaded), **(also or {})}
    command = shlex.join(["crosslens", *sys.argv[1:]])
    if part is None:
        findings = Findings.create(out, asked, provenance=origin, resume=resume)
    else:
        findings = Share.of(out, part, asked, provenance=origin, resume=resume, command=command)
    findings.note(commands=[*findings.meta.get("commands", ()), command])
    if loaded is not None and some:
        apart = difference(scores(loaded, some), exact)
        findings.note(difference_to_float32=apart)
        say.print(sentence(origin["dtype"], apart), soft_wrap=True)
    which = {} if part is None else {"shard": str(part)}
    with keeping(findings) if kept else nullcontext(), watching(say, **which) as watch:
        try:
            yield Running(loaded, texts, findings, watch)
        except ShareDone:
            say.print(
                f"Shard {part} has finished its parts, in {findings.folder}. When all have ended: "
                f"{shlex.join(['crosslens', 'merge', str(out).removesuffix(PARTS)])}",
                soft_wrap=True,
            )
            raise typer.Exit(0) from None


def check_names(texts: "Sequence[Collection]") -> None:
    """Refuses two collections of one name, by which tables tell them apart.

    Raises:
        ValueError: names them.
    """
    names = [each.name for each in texts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"two collections are called {' and '.join(twice)}, and tables tell collections apart "
            "by name: give each once, from a folder with a name of its own"
        )


def share_of(text: str | None, unsplit: str) -> "Shard | None":
    """The share that is this process's, if there are several.

    Raises:
        ValueError: the command is `unsplit`.
    """
    from ..shards import shard_named

    part = shard_named(text, os.environ)
    if part is not None and unsplit:
        raise ValueError(
            f"{unsplit} is not split over processes, and this is {part}: run it in one process, "
            "without --shard or a launcher"
        )
    return part


def device_of(name: str | None, environment: Mapping[str, str]) -> str | None:
    """The device; each process of a launcher has its own where `cuda` is asked for."""
    own = environment.get("LOCAL_RANK")
    return name if name != "cuda" or own is None else f"cuda:{own}"


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
        deafen()
        kept = "nothing yet"
        with suppress(OSError):  # a full disk, a lost folder: what is kept is kept
            findings.note(seconds=before + time.monotonic() - begun)
            kept = ", ".join(findings.tables()) or kept
        code = interrupted(error, f"Kept in {findings.folder}: {kept}.\n{GOES_ON}")
        raise typer.Exit(code) from None
    findings.note(
        seconds=before + time.monotonic() - begun,
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
