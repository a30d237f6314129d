"""The options that commands share, by the same name and with the same help in each."""

from pathlib import Path
from typing import Annotated, Literal

import typer


MODEL_HELP = (
    "A hub id, a local folder, or a planted model such as planted:bm25. Default: the embedded "
    "reranker."
)
COLLECTION_HELP = (
    "embedded, a folder with queries, documents and judgements (TREC, MS MARCO or BEIR style), "
    "or ir_datasets:ID."
)

Model = Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]
ModelToo = Annotated[str | None, typer.Option("--model", hidden=True)]
ModelOption = Annotated[str | None, typer.Option("--model", help=MODEL_HELP, show_default=False)]
FromCollection = Annotated[str, typer.Option(help=COLLECTION_HELP)]
Collections = Annotated[list[str], typer.Option("--collection", help=COLLECTION_HELP)]
Out = Annotated[Path, typer.Option(help="The folder of the run.")]
Seed = Annotated[int, typer.Option(help="Draws pairs, controls and bootstrap samples.")]
Tokens = Annotated[
    int, typer.Option(help="The longest pair of a contrast; longer documents lose their end.")
]
OnDevice = Annotated[
    str | None, typer.Option(help="cpu, cuda or cuda:N. Default: cpu.", show_default=False)
]
Precision = Annotated[
    Literal["fp32", "bf16", "fp16"],
    typer.Option(
        "--dtype",
        help="The numbers that weights are read as. With bf16 or fp16, meta.json says how far "
        "scores are from float32.",
    ),
]
WithoutRun = Annotated[  # the same of commands that write no meta.json
    Literal["fp32", "bf16", "fp16"],
    typer.Option("--dtype", help="The numbers that weights are read as."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
InShards = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Compute the I-th of N shares, as in 2/4; `crosslens merge` puts them together. env: "
        "what SLURM or torchrun say; env/N: what a Kubernetes job of N says.",
        show_default=False,
    ),
]
Log = Annotated[
    Literal["text", "json"],
    typer.Option(help="Progress and errors; json: one object a line, on standard error."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the path of the result only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]


def chosen_model(positional: str | None, option: str | None) -> str | None:
    """MODEL, which older commands took as `--model`.

    Raises:
        BadParameter: both are given.
    """
    if positional is not None and option is not None:
        raise typer.BadParameter(f"MODEL is {positional!r} and --model {option!r}; give one")
    return positional or option
