"""The gist of a report as tables and sentences for the terminal, every name shown as it is."""

import re
from typing import Final

from rich.table import Table
from rich.text import Text

from ..findings import Findings
from .frames import read
from .question import CONTROL


BRACKETS: Final = re.compile(r"\(.*?\)")  # the parameters of a measure; the page says them
WHOLE: Final = ("journey", "heads")  # what the terminal repeats of the statements


def compared(findings: Findings) -> Table | None:
    """Effectiveness beside BM25; None where nothing is judged."""
    if "comparison" not in findings.tables():
        return None
    frame = read(findings, "comparison")
    table = grid("Ranking", "model", "BM25", "difference", "95 % interval")
    for row in frame.itertuples():
        is_tested = row.low == row.low  # one query has no interval
        table.add_row(
            BRACKETS.sub("", str(row.Index)),
            f"{row.model:.3f}",
            f"{row.bm25:.3f}",
            f"{row.difference:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}" if is_tested else "–",
        )
    return table


def reacting(findings: Findings) -> Table | None:
    """The change of score that each signal makes; None where no contrast could be built."""
    if "reactions" not in findings.tables():
        return None
    table = grid("Contrast", "change of score", "95 % interval", "random word", "reacts")
    for row in read(findings, "reactions").itertuples():
        table.add_row(
            Text(str(row.signal)),
            f"{row.change:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}",
            "–" if row.control != row.control else f"{row.control:+.3f}",
            "" if row.signal == CONTROL else "not tested" if row.untested else YES[row.reacts],
        )
    return table


YES: Final = {True: "yes", False: "no"}


def gist(findings: Findings) -> list[Text]:
    """One line per statement on the whole model, the signal in bold."""
    frame = read(findings, "statements")
    return [
        Text.assemble((str(row.signal), "bold"), f"  {row.text}")
        for row in frame[frame["kind"].isin(WHOLE)].itertuples()
    ]


def unmeasured(findings: Findings) -> list[Text]:
    """One line per signal that these texts do not allow, and why."""
    return [
        Text.assemble((signal, "bold"), f"  not measured: {why}")
        for signal, why in findings.meta.get("impossible", {}).items()
    ]


def grid(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
