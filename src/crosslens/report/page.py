"""One HTML file of a run: everything inside, nothing fetched, opens offline.

Made from the tables of the run alone, so that it can be made again, and of a run that was
interrupted as well.
"""

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

import numpy as np
from jinja2 import Environment
from markupsafe import escape, Markup
from plotly.offline import get_plotlyjs

from ..contrasts.catalogue import AXIOMS
from ..contrasts.roles import ROLES
from ..findings import Findings
from ..model.load import EMBEDDED
from . import claims, figures
from .frames import Frame, read
from .numbered import Figure, Figures
from .question import CONTROL, SIGNALS
from .summary import claimed, RULES


TOP: Final = 10  # heads in the table of a contrast
PANELS: Final = {
    "resid_pre": "Input of the layer",
    "attn_out": "What attention writes",
    "mlp_out": "What the MLP writes",
}
HOLDS: Final = {
    "ranking": "both scores of every query and document, with label, type, length in tokens",
    "queries": "every measure for every query, model and BM25",
    "comparison": "means of the measures and their paired difference",
    "types": "scores, ranks and orders by type of document",
    "pairs": "the texts of every contrast, their scores and the change",
    "reactions": "the mean change of score by signal, beside the control",
    "levels": "the mean change of score at each level of TFC2 and LNC2",
    "effects": "what patching each unit restores, pair by pair",
    "units": "mean, interval, pairs, p and q of every unit",
    "null": "what patching a pair from itself changes",
    "statements": "the sentences of this page",
    **claims.TABLES,
}


def page(findings: Findings) -> str:
    """The report of a run, as HTML."""
    here = files("crosslens") / "report"
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (here / "template.html").read_text(encoding="utf-8")
    )
    figure = Figures()
    there = set(findings.tables())

    def optional(name: str) -> Frame | None:
        return read(findings, name) if name in there else None

    meta, reactions = findings.meta, read(findings, "reactions")
    units, comparison, types = (optional(name) for name in ("units", "comparison", "types"))
    return template.render(
        style=Markup((here / "style.css").read_text(encoding="utf-8")),
        script=Markup((here / "draw.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
        folder=findings.folder.name,
        config=findings.config,
        model=meta["model"],
        name=called(meta["model"]["checkpoint"]),
        collection=meta["collection_facts"],
        versions=meta["versions"],
        weights=meta["weights"],
        digest=meta["collection_facts"]["digest"],
        finished=meta.get("finished", ""),
        seconds=lasting(meta["seconds"]) if "seconds" in meta else "",
        keys=keys(meta, comparison, reactions, units, findings),
        warnings=warnings(meta),
        ranked=ranked(meta),
        comparison=None if comparison is None else compared(comparison),
        measure_note="" if comparison is None else measured(comparison),
        types=None if types is None else typed(types),
        types_note="" if types is None else types_note(types),
        reference="" if types is None else types["reference"].iloc[0],
        types_figure=None
        if types is None
        else figure(
            figures.by_type(types),
            Markup(
                "<b>Mean rank by type</b>, the best grade first. A reranker worth its name pulls "
                "answers to the left and keyword stuffing to the right."
            ),
            "Mean rank by type, model and BM25: "
            + ", ".join(f"{r.type} {r.model_rank:.1f} and {r.bm25_rank:.1f}" for r in rows(types)),
        ),
        reactions_figure=figure(
            figures.reacting(reactions, [titled(signal) for signal in reactions["signal"]]),
            Markup(
                "<b>Mean change of score by signal</b>, 95 % bootstrap interval over queries. "
                "Filled: the model reacts beyond what a random word does."
            ),
            "Mean change of score: "
            + ", ".join(f"{r.signal} {r.change:+.2f}" for r in rows(reactions)),
        ),
        level_figures=level_figures(optional("levels"), figure),
        circuit=claims.section(findings, figure),
        sections=sections(findings, reactions, units, figure),
        roles=[(role, meaning) for role, meaning in ROLES.items() if role != "[PAD]"],
        rules=RULES,
        null=null(findings),
        scoring=scoring(meta),
        tables=[
            {"file": f"{name}.parquet", "rows": len(read(findings, name)), "holds": holds}
            for name, holds in HOLDS.items()
            if name in there
        ],
    )


def rows(frame: Frame) -> Sequence[Any]:
    return list(frame.itertuples())


def called(checkpoint: str) -> str:
    """What to call the model in a sentence."""
    return "the embedded reranker" if checkpoint == EMBEDDED else checkpoint


def titled(signal: str) -> str:
    return signal if signal == CONTROL else f"{signal}: {SIGNALS[signal].title.lower()}"


# --- the head of the page --------------------------------------------------------------


def keys(
    meta: dict[str, Any],
    comparison: Frame | None,
    reactions: Frame,
    units: Frame | None,
    findings: Findings,
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
                    f"({row['low']:+.3f} to {row['high']:+.3f})",
                }
            )
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
        named = [f"{r.layer}.{r.part}" for r in rows(heads.head(4))]
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
            "p_shown": "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}",
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


def lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


# --- contrasts ---------------------------------------------------------------------------


def level_figures(levels: Frame | None, figure: Figures) -> list[Figure]:
    """The curves of the signals that come in levels."""
    if levels is None:
        return []
    return [
        figure(
            figures.levels(frame, SIGNALS[str(signal)].levels),
            Markup("<b>{}</b>: change of score by {}, {} pairs").format(
                signal, SIGNALS[str(signal)].levels, int(frame["n"].max())
            ),
            f"{signal}: " + ", ".join(f"{r.level}: {r.change:+.2f}" for r in rows(frame)),
        )
        for signal, frame in levels.groupby("signal", sort=False)
    ]


def sections(
    findings: Findings, reactions: Frame, units: Frame | None, figure: Figures
) -> list[dict[str, Any]]:
    """One section for each contrast that was asked for, possible or not."""
    meta = findings.meta
    statements, pairs = read(findings, "statements"), read(findings, "pairs")
    scales = scale(units)
    found = []
    for signal in findings.config["signals"]:
        section: dict[str, Any] = {
            "signal": signal,
            "title": SIGNALS[signal].title,
            "axiom": AXIOMS[signal],
            "impossible": meta["impossible"].get(signal, ""),
        }
        if not section["impossible"]:
            said = statements[statements["signal"] == signal]
            own = None if units is None else units[units["signal"] == signal]
            has_effects = own is not None and not own.empty
            # the control on the scale of what it is a control of
            alike = "TFC1" if signal == CONTROL and "TFC1" in scales else signal
            most = scales.get(alike, (1.0, 1.0))
            what = "change, as a share of TFC1's" if signal == CONTROL else "restored"
            section |= {
                "opening": said[said["layer"] < 0]["text"].tolist(),
                "layers": list(
                    said[said["layer"] >= 0][["layer", "text"]].itertuples(index=False, name=None)
                ),
                "example": example(pairs[(pairs["signal"] == signal) & pairs["is_patched"]]),
                "figures": heatmaps(signal, own, most, what, figure) if has_effects else [],
                "heads": top_heads(own) if has_effects else [],
                "what": what,
                "counts": counts(signal, reactions, meta),
            }
        found.append(section)
    return found


def scale(units: Frame | None) -> dict[str, tuple[float, float]]:
    """How far the colours of a contrast reach: over roles, and over heads."""
    if units is None:
        return {}
    return {
        str(signal): (
            float(np.clip(frame[frame["site"] != "z"]["mean"].abs().max(), 0.2, 1.2)),
            float(np.clip(frame[frame["site"] == "z"]["mean"].abs().max(), 0.05, 1.2)),
        )
        for signal, frame in units.groupby("signal")
    }


def heatmaps(
    signal: str, units: Frame, most: tuple[float, float], what: str, figure: Figures
) -> list[Figure]:
    """Layer by token role for each of the streams, and layer by head."""
    drawn = []
    for site, title in PANELS.items():
        own = units[units["site"] == site]
        drawn.append(
            figure(
                figures.heatmap(
                    own, own["part"].unique().tolist(), most=most[0], axis="token role", what=what
                ),
                Markup("<b>{}</b>, by layer and token role").format(title),
                f"{signal}, {title.lower()}, by layer and token role. Largest: "
                f"{figures.largest(own)}.",
            )
        )
    own = units[units["site"] == "z"]
    parts = sorted(own["part"].unique(), key=int)
    return [
        *drawn,
        figure(
            figures.heatmap(own, parts, most=most[1], axis="head", what=what),
            Markup("<b>Heads</b>, by layer and head, on a scale of their own"),
            f"{signal}, heads, by layer and head. Largest: {figures.largest(own)}.",
        ),
    ]


def top_heads(units: Frame) -> list[dict[str, Any]]:
    """The heads with the largest effects."""
    heads = units[units["site"] == "z"]
    heads = heads.assign(is_named=claimed(heads))
    order = heads["mean"].abs().sort_values(ascending=False).index[:TOP]
    return heads.loc[order].to_dict("records")


def counts(signal: str, reactions: Frame, meta: dict[str, Any]) -> str:
    """How many pairs were scored, patched and left out, and why."""
    row = reactions.set_index("signal").loc[signal]
    least = meta["least_change"][signal]
    patched = meta["patched"].get(signal, 0)
    text = f"{row['pairs']} pairs of {row['queries']} queries scored; "
    if patched:
        text += f"patched are the first {patched} whose score changes by {least:.3g} or more."
    else:
        text += f"none is patched, as no score changes by {least:.3g} or more."
    left_out = meta["left_out"].get(signal, {})
    if left_out:
        why = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
        text += f" Candidates left out: {why}."
    return text


def example(pairs: Frame) -> dict[str, Any] | None:
    """The pair whose change is the median one, its edit marked and its term underlined."""
    if pairs.empty:
        return None
    typical = pairs["change"].sub(pairs["change"].median()).abs().idxmin()
    row = pairs.loc[typical]
    return {
        "query": underlined(row["query"], row["term"]),
        "base": marked(row["base_text"], json.loads(row["base_edits"])),
        "more": marked(row["more_text"], json.loads(row["more_edits"])),
        "base_score": f"{row['base']:.2f}",
        "target_score": f"{row['target']:.2f}",
    }


def underlined(query: str, term: str) -> Markup:
    """The query with its selected term underlined."""
    start = query.lower().find(term.lower())
    if start < 0:
        return escape(query)
    end = start + len(term)
    return Markup("{}<u class='term'>{}</u>{}").format(query[:start], query[start:end], query[end:])


def marked(text: str, edits: Sequence[Sequence[int]]) -> Markup:
    """The text with the edited words marked."""
    out, last = Markup(""), 0
    for start, end in edits:
        out += escape(text[last:start]) + Markup("<mark>{}</mark>").format(text[start:end])
        last = end
    return out + escape(text[last:])


# --- methods ------------------------------------------------------------------------------


def null(findings: Findings) -> str:
    """What patching a pair from itself did: the zero of the instrument."""
    if "null" not in findings.tables():
        return ""
    changes = read(findings, "null")["change"].abs()
    return (
        f"Patching a pair from itself, unit by unit ({len(changes)} units), changes its score by "
        f"at most {changes.max():.1e}, the rounding of the arithmetic; it must change nothing."
    )


def scoring(meta: dict[str, Any]) -> str:
    """How the score is read from the model, and how texts are cut."""
    m = meta["model"]
    kind = {"post": "post-LN", "pre": "pre-LN"}[m["norm"]]
    follows = (
        "no activation is declared to follow it"
        if m["activation"] == "Identity"
        else f"the checkpoint declares that a {m['activation'].lower()} follows it, which changes "
        "no ranking and is left out here"
    )
    return (
        f"{m['checkpoint']}: {m['family']}, {kind}, {m['layers']} layers of {m['heads']} heads, "
        f"width {m['d_model']}, {m['d_mlp']} neurons per layer, {m['vocabulary']:,} tokens in the "
        f"vocabulary. The score is {m['score']} ({m['labels']} label"
        f"{'s' if m['labels'] > 1 else ''}); {follows}. Pairs longer than {m['positions']} tokens "
        f"are cut ({m['truncation'].replace('_', ' ')}); {meta['ranked']['truncated']} of the "
        f"ranked ones were."
    )
