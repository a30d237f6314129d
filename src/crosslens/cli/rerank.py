"""`crosslens rerank`: a ranking by a model, as it is or under interventions, as a TREC run."""

import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TYPE_CHECKING

import typer
from rich.console import Console

from . import options
from .gate import gate, GOES_ON
from .running import default_model, EMBEDDED, PARTS, readable_texts, Running, running
from .terminal import quieten, show_path, terminal


if TYPE_CHECKING:
    from ..corpora.collection import Collection
    from ..interventions.named_values import Intervention
    from ..model.tokens import PairTokenizer
    from ..reranking.parts import Comparison


def rerank(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="A TREC run whose documents are ranked again. Default: the candidates of the "
            "collection.",
            show_default=False,
        ),
    ] = None,
    model: options.ModelOption = None,
    collection: options.FromCollection = EMBEDDED,
    intervention: Annotated[
        list[str] | None,
        typer.Option(
            "--intervention",
            "-i",
            help="Score under it, as in 'ablate 2.9 1.1', 'mask document->query from layer 3' or "
            "\"scale idf of 'canoe' by 3\". May be given several times.",
            show_default=False,
        ),
    ] = None,
    interventions: Annotated[
        Path | None,
        typer.Option(help="A YAML file that lists interventions.", show_default=False),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            help="How many documents of each query of RUN, from its first. Default: all.",
            show_default=False,
        ),
    ] = None,
    logits: Annotated[
        bool,
        typer.Option(
            "--logits", help="Write logits, not what the model's declared activation makes of them."
        ),
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare/--no-compare",
            help="Score without the interventions too, and compare; or not, in half the time.",
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the ranking is written, as a TREC run; finished parts are kept in "
            "FILE.parts. Default: standard output.",
            show_default=False,
        ),
    ] = None,
    device: options.OnDevice = None,
    dtype: options.Precision = "fp32",
    shard: options.InShards = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the parts that are kept beside --out.")
    ] = False,
    log: options.Log = "text",
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Rank documents with a model, under interventions or none: a TREC run in, a TREC run out."""
    say = terminal(quiet=quiet, stderr=out is None)
    with gate(debug, log, GOES_ON if out is not None else ""):
        quieten()
        from ..interventions.named import named, named_in
        from ..interventions.named_values import needs_idf
        from ..provenance import of_file
        from ..ranking import require_fields, Run
        from ..shards import shard_named

        edits = [named(each) for each in intervention or ()]
        edits += named_in(interventions) if interventions is not None else ()
        if resume and out is None:
            raise ValueError("--resume goes on with the parts beside --out FILE; name the file")
        if out is None and shard_named(shard, os.environ) is not None:
            raise ValueError("a shard is kept beside --out FILE; name the file")
        if depth is not None and run is None:
            raise ValueError(f"--depth is {depth}, of a RUN; none was given")
        if depth is not None and depth < 1:
            raise ValueError(f"--depth is {depth}; a ranking has a depth of at least 1")
        given = None if run is None else Run.load(the_run(run))
        asked = {
            "rerank": None if run is None else str(run),
            "model": model or default_model(),
            "collection": collection,
            "interventions": [str(each) for each in edits],
            "depth": depth,
            "logits": logits,
            "compare": compare and bool(edits),
        }
        only = None
        if given is not None and not any(needs_idf(each) for each in edits):
            only = {each.doc_id for ranked in given.values() for each in ranked[:depth]}
        with (
            folder_of(out, resume=resume) as folder,
            running(
                asked,
                folder,
                model=asked["model"],
                collections=[collection],
                device=device,
                dtype=dtype,
                shard=shard,
                resume=resume,
                say=say,
                also={} if run is None else {"run file": of_file(run)},
                kept=out is not None,
                only=only,
            ) as state,
        ):
            from ..reranking.parts import Comparison, Parts, run_of, SCORE, UNEDITED
            from ..reranking.scorer import Scorer
            from ..writing import write_parts

            assert state.model is not None
            (texts,) = state.collections
            if given is not None:
                texts = texts.with_candidates(given, depth=depth)
            texts = ranked_texts(replace(state, collections=(texts,)), say)
            for qid, docids in texts.candidates.items():
                require_fields(qid, *docids)
            documents = texts.documents.values()
            scorers = {SCORE: Scorer.of(state.model, documents, edits, logits=logits)}
            if asked["compare"]:
                scorers[UNEDITED] = Scorer.of(state.model, documents, logits=logits)
            introduce(texts, edits, scorers[SCORE], say)
            parts = Parts(texts, scorers, given=given is not None)
            found = Comparison(parts)
            for table in parts.tables(state.findings, state.watch):
                state.findings.conclude()  # the first parts are all finished, or read
                found.add(table)
                if out is None:
                    sys.stdout.write(run_of(table).lines())
                    sys.stdout.flush()
            if out is not None:
                tables = parts.tables(state.findings, lambda *_: None)
                pack = gzip.compress if out.suffix == ".gz" else bytes
                write_parts(out, (pack(run_of(each).lines().encode()) for each in tables))
        if quiet:
            if out is not None:
                show_path(out)
            return
        summary(found, limits(state.model.tokens), say)
        if out is not None:
            say.print(f"\nRun: {out}", soft_wrap=True)


def the_run(path: Path) -> Path:
    """The file of a run.

    Raises:
        FileNotFoundError: there is none; a model or a collection is named by an option.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"RUN is {str(path)!r}, which is no file; RUN is a TREC run. A model is named by "
            "--model, a collection by --collection"
        )
    return path


@contextmanager
def folder_of(out: Path | None, *, resume: bool) -> Iterator[Path]:
    """Where parts are kept: beside the file, or for as long as the command runs.

    Raises:
        FileExistsError: the file is there already, and no parts of it.
    """
    if out is None:
        with TemporaryDirectory(prefix="crosslens-") as folder:
            yield Path(folder)
        return
    folder = out.with_name(out.name + PARTS)
    if out.exists() and not (resume and folder.is_dir()):
        raise FileExistsError(f"{out} is there already; name another file with --out")
    yield folder


def ranked_texts(state: Running, say: Console) -> "Collection":
    """The candidates that the model can read; a judged query that it cannot counts as 0.

    Raises:
        NotMeasurable: it can read no query, or no document.
    """
    (texts,) = state.collections
    (found,) = readable_texts(state, say)
    candidates = {qid: docids for qid, docids in found.candidates.items() if docids}
    return texts if found is texts else replace(texts, candidates=candidates)


def introduce(
    texts: "Collection", edits: "list[Intervention]", scorer: object, say: Console
) -> None:
    """What is about to be done."""
    n = sum(map(bool, texts.candidates.values()))
    say.print(f"{texts.n_pairs:,} documents of {n:,} queries: {texts.pool}", soft_wrap=True)
    if texts.dropped:
        say.print(f"{len(texts.dropped):,} documents of the collection have no text: left out")
    for each in edits:
        say.print(f"  {each}", soft_wrap=True)
    direction = vars(scorer).get("direction")  # found where an intervention needed it
    if direction is not None:
        say.print(f"  {direction}", soft_wrap=True)


def limits(tokens: "PairTokenizer") -> str:
    """How many tokens the model reads, of a pair and of each text."""
    found = [f"{tokens.limit} tokens"]
    if tokens.texts is not None:
        each = (("query", tokens.texts.query), ("document", tokens.texts.document))
        found += [f"{most} of a {kind}" for kind, most in each if most is not None]
    return ", ".join(found)


def summary(found: "Comparison", limits: str, say: Console) -> None:
    """How good the ranking is, and what the interventions changed."""
    from ..report.terminal import grid
    from ..reranking.parts import UNEDITED

    baseline = found.parts.baseline
    if found.cut:
        say.print(
            f"{found.cut:,} of {found.pairs:,} pairs are longer than the {limits} that the "
            "model reads: their end was not scored",
            soft_wrap=True,
        )
    if baseline == UNEDITED:
        changed(found, say)
    measures = found.measures()
    if measures is None:
        say.print("No query of this ranking is judged: nothing is measured.")
        return
    names = {UNEDITED: "unedited", "given": "as given"}
    columns = [names[baseline], "difference", "95 % interval", "p"] if baseline else []
    table = grid(f"{measures['n'].iloc[0]:.0f} queries", "this run", *columns)
    for name, row in measures.iterrows():
        cells = [f"{row['a']:.4f}"]
        if baseline:
            cells += [f"{row['b']:.4f}", f"{row['difference']:+.4f}"]
            cells += [f"{row['low']:+.3f} to {row['high']:+.3f}", f"{row['p']:.2g}"]
        shown = str(name).replace("(dcg='exp-log2')", "")  # the gains 2^label - 1
        table.add_row(shown, *cells)
    for column in table.columns:
        column.no_wrap = True
    say.print()
    say.print(table)
    if found.missing:
        say.print(f"{found.missing:,} judged queries are not ranked: they count as 0")


def changed(found: "Comparison", say: Console) -> None:
    """How far the interventions moved scores and rankings."""
    import pandas as pd

    if not found.changed:
        say.print("No score changed: the interventions met nothing in these texts.")
        return
    say.print(f"{found.changed:,} of {found.pairs:,} scores changed")
    if found.alike:
        mean = pd.concat(found.alike)[["tau", "top10"]].mean()
        say.print(
            f"With the unedited ranking: Kendall's tau {mean['tau']:.3f}, the same in the first "
            f"ten {mean['top10']:.0%} (means over queries)",
            soft_wrap=True,
        )
