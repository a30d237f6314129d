"""The head of a report: its few numbers, what to know before believing them, the rankings."""

import re
from typing import Any, Final

import numpy as np

from ..corpora.readable import named_few
from .frames import Frame
from .question import CONTROL
from .summary import claimed


def keys(
    meta: dict[str, Any],
    comparison: Frame | None,
    reactions: Frame | None,
    units: Frame | None,
) -> list[dict[str, str]]:
    """The few numbers that a reader wants first."""
    found = []
    if comparison is not None:
        for row in compared(comparison):
            found.append(
                {
                    "label": row["shown"],
                    "value": f"{row['model']:.3f}",
                    "note": f"BM25 {row['bm25']:.3f}, difference {row['difference']:+.3f} "
                    f"({row['interval']})",
                }
            )
    if reactions is None:
        return found
    signals = reactions[reactions["signal"] != CONTROL]
    reacting = signals[signals["reacts"]]["signal"].tolist()
    found.append(
        {
            "label": "signals it reacts to",
            "value": f"{len(reacting)} of {len(signals)}",
            "note": ", ".join(reacting) or "none, beyond what a random word does",
        }
    )
    if units is not None and "TFC1" in reacting:
        heads = units[claimed(units) & (units["site"] == "z") & (units["signal"] == "TFC1")]
        heads = heads.reindex(heads["mean"].abs().sort_values(ascending=False).index)
        named = [f"{r.layer}.{r.part}" for r in heads.head(4).itertuples()]
        n_heads = meta["model"]["layers"] * meta["model"]["heads"]
        more = f" and {len(heads) - 4} more" if len(heads) > 4 else ""
        found.append(
            {
                "label": "heads that carry an exact match",
                "value": f"{len(heads)} of {n_heads}",
                "note": ", ".join(named) + more if named else "no single head stands out",
            }
        )
    return found


def warnings(meta: dict[str, Any]) -> list[str]:
    """What a reader should know before believing anything."""
    found = []
    ranked = meta["ranked"]
    if ranked["truncated"]:
        found.append(
            f"{ranked['truncated']} of {ranked['pairs']} ranked pairs were longer than the model "
            f"reads ({meta['model']['positions']} tokens) and lost their end."
        )
    if ranked["is_sample"]:
        whole = meta["collection_facts"]["candidates"]
        found.append(
            f"Ranked is a sample of {ranked['pairs']:,} of {whole:,} pairs, drawn by seed and "
            "evenly over the labels: its figures are not those of the whole collection. "
            "--ranking-pairs takes more."
        )
    if meta["collection_facts"]["without_text"]:
        found.append(
            f"{meta['collection_facts']['without_text']} documents without a text were left out."
        )
    if unreadable := meta.get("unreadable"):
        found.append(f"Texts were left out: {named_few(unreadable)}.")
    if why := meta.get("not_compared"):
        found.append(f"The rankings are not compared by a test: {why}.")
    if impossible := meta.get("impossible"):
        found.append(f"Not measured, as these texts do not allow it: {', '.join(impossible)}.")
    return found


def ranked(meta: dict[str, Any]) -> str:
    r = meta["ranked"]
    return (
        f"{r['queries']} queries with {r['pairs']:,} documents ({r['pool']}) are ranked by the "
        "model and by BM25."
    )


RELEVANT: Final = re.compile(r"\(rel=(\d+)\)")


def compared(comparison: Frame) -> list[dict[str, Any]]:
    """The rows of the comparison, with names and p-values as people write them."""
    return [
        {
            **row,
            "shown": RELEVANT.sub("", row["measure"].replace("(dcg='exp-log2')", "")),
            "interval": "one query, no interval"
            if np.isnan(row["low"])
            else f"{row['low']:+.3f} to {row['high']:+.3f}",
            "p_shown": "–"
            if np.isnan(row["p"])
            else "< 0.001"
            if row["p"] < 0.001
            else f"{row['p']:.3f}",
        }
        for row in comparison.reset_index().to_dict("records")
    ]


def measured(comparison: Frame) -> str:
    """What the names of the measures leave unsaid."""
    grade = RELEVANT.search(" ".join(comparison.index))
    relevant = f" RR takes grades from {grade[1]} for relevant." if grade else ""
    return f"nDCG has exponential gains, 2^grade − 1.{relevant}"


def typed(types: Frame) -> list[dict[str, Any]]:
    def share(value: float) -> str:
        return "" if np.isnan(value) else f"{value:.0%}"

    return [
        {
            **row,
            "model_above_shown": share(row["model_above"]),
            "bm25_above_shown": share(row["bm25_above"]),
        }
        for row in types.to_dict("records")
    ]


def types_note(types: Frame) -> str:
    reference = types["reference"].iloc[0]
    return (
        f"The collection says what kind of answer each document is, from “{reference}” down to "
        "what only looks like one. BM25 beside the model shows what words alone would do."
    )
