"""The gist of a report as tables for the terminal."""

import re
from typing import Final

from rich.table import Table

from ..findings import Findings
from .frames import read


BRACKETS: Final = re.compile(r"\(.*?\)")  # the parameters of a measure; the page says them


def compared(findings: Findings) -> Table | None:
    """Effectiveness beside BM25; None where nothing is judged."""
    if "comparison" not in findings.tables():
        return None
    frame = read(findings, "comparison")
    table = grid("Ranking", "model", "BM25", "difference", "95 % interval")
    for row in frame.itertuples():
        table.add_row(
            BRACKETS.sub("", str(row.Index)),
            f"{row.model:.3f}",
            f"{row.bm25:.3f}",
            f"{row.difference:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}",
        )
    return table


def reacting(findings: Findings) -> Table:
    """The change of score that each signal makes."""
    table = grid("Contrast", "change of score", "95 % interval", "random word", "reacts")
    for row in read(findings, "reactions").itertuples():
        table.add_row(
            str(row.signal),
            f"{row.change:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}",
            f"{row.control:+.3f}",
            "yes" if row.reacts else "" if row.signal == "control" else "no",
        )
    return table


def grid(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
