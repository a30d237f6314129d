"""What every analysis does around its question: read the command line, save, and say where."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from crosslens import Findings


def options(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    *,
    model: str | None = "planted:bm25",
    pairs: int = 24,
    several: bool = False,
) -> argparse.Namespace:
    """The options that analyses share.

    `model=None` is for one that makes its own models; `several` collections are a list, in the
    order given.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    if model is not None:
        parser.add_argument("--model", default=model, help="checkpoint, folder or planted:... name")
    parser.add_argument(
        "--collection",
        default=["embedded"] if several else "embedded",
        nargs="+" if several else None,
        help="folder or ir_datasets:... id",
    )
    parser.add_argument("--out", required=True, help="a new folder for the tables")
    parser.add_argument("--pairs", type=int, default=pairs, help="query-document pairs")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def begin(given: argparse.Namespace, file: str, *, resume: bool = False) -> Findings:
    """The run of the analysis in `file`, new or, with `resume`, one that was interrupted."""
    asked = {key: value for key, value in vars(given).items() if key not in ("out", "resume")}
    return Findings.create(given.out, {"analysis": Path(file).stem, **asked}, resume=resume)


def save(
    given: argparse.Namespace,
    file: str,
    tables: Mapping[str, pd.DataFrame],
    *,
    pages: Mapping[str, str] | None = None,
    findings: Findings | None = None,
) -> None:
    """Write the tables, and pages if any, into a new run unless one has begun.

    Prints the last table, the answer.
    """
    findings = begin(given, file) if findings is None else findings
    for title, table in tables.items():
        findings.table(title, table, also_json=True)
    for page, text in (pages or {}).items():
        findings.text(page, text)
    *_, answer = tables.values()
    print(answer.round(4).to_string(index=False))
    print(f"\nAll tables: {findings.folder}")
