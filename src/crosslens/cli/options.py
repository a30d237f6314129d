"""The options that commands share, by the same name and with the same help in each."""

from typing import Annotated

import typer


MODEL_HELP = (
    "A hub id, a local folder, or a planted model such as planted:bm25. Default: the embedded "
    "reranker."
)

FromCollection = Annotated[
    str,
    typer.Option(
        help="embedded, a folder with queries, documents and judgements (TREC, MS MARCO or BEIR "
        "style), or ir_datasets:ID."
    ),
]
Tokens = Annotated[
    int, typer.Option(help="The longest pair of a contrast; longer documents lose their end.")
]
OnDevice = Annotated[
    str | None, typer.Option(help="cpu, cuda or cuda:N. Default: cpu.", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]
