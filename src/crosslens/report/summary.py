"""What the numbers support, in words; where they support nothing, that.

The rules, which the report prints beside its statements (`RULES`):

1. A contrast is put into words only if the model reacts to the signal (`circuits.reaction`).
2. A unit is named only if its effect differs from 0 after correction for the number of units
   (false discovery rate), its 95 % interval leaves out 0, it was measured on enough pairs, and
   its mean is large enough; `circuits.thresholds` has the numbers and their reasons.
3. What holds in any model is not a finding: that the input of layer 0 differs at the injected
   term only is said as such, not named.
4. At most a few units are named at a time, the largest first; the rest are counted.

A model of random weights reacts to no signal more than to any word, and gets no claim at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from crosslens.circuits.reaction import CONTROL, RULE
from crosslens.circuits.thresholds import HEAD, LEVEL, NAMED, PAIRS, ROLE

from ..contrasts.roles import OF_TEXTS
from ..findings import Findings
from .frames import Column, Frame, pd, read


FLOOR: Final = {"resid_pre": ROLE, "attn_out": ROLE, "mlp_out": ROLE, "z": HEAD}
RULES: Final = (
    f"A contrast is put into words only if the model reacts to the signal. {RULE}",
    "A token role or a head is named only if its effect differs from 0 (false discovery rate below "
    f"{LEVEL:.2f} over all units of the contrast), its 95 % bootstrap interval leaves out 0, "
    f"at least {PAIRS} pairs have it, and its mean is at least {ROLE:.2f} (roles) or {HEAD:.2f} "
    "(heads).",
    "What holds in any model is no finding: the input of layer 0 differs at the injected tokens "
    "alone, so that patching them there restores everything.",
    f"At most {NAMED} units are named at a time, the largest effect first; the rest are counted.",
)
WORDS: Final = {
    "[CLS]": "[CLS]",
    "Q+": "the selected query term (Q+)",
    "Q-": "the rest of the query (Q−)",
    "[SEP]1": "the first separator",
    "D_inj": "the injected term (D_inj)",
    "D+": "the term elsewhere in the document (D+)",
    "D-": "other query terms in the document (D−)",
    "D_other": "the rest of the document",
    "[SEP]2": "the last separator",
}
assert WORDS.keys() == {*OF_TEXTS}


def claimed(units: Frame) -> Column:
    """Which rows of the `units` table may be named, by rule 2."""
    same_side = units["low"] * units["high"] > 0
    floor = units["site"].map(FLOOR)
    large = units["mean"].abs() >= floor
    return (units["q"] < LEVEL) & same_side & large & (units["n"] >= PAIRS)


class Statement(NamedTuple):
    """A sentence about one signal."""

    kind: str  # "reaction", "journey", "heads" or "layer": what it is about
    layer: int  # -1: the whole model
    text: str


def statements(findings: Findings) -> Frame:
    """Every sentence of the report's summary: signal, kind, layer (−1: the whole model), text."""
    tables = findings.tables()
    reactions = read(findings, "reactions") if "reactions" in tables else pd.DataFrame()
    units = read(findings, "units") if "units" in tables else None
    rows = []
    for reaction in reactions.to_dict("records"):
        signal = reaction["signal"]
        found = None if units is None else units[units["signal"] == signal]
        rows += [
            {"signal": signal, **each._asdict()} for each in of_signal(signal, reaction, found)
        ]
    return pd.DataFrame(rows, columns=["signal", *Statement._fields])


def of_signal(signal: str, reaction: Mapping[str, Any], units: Frame | None) -> list[Statement]:
    """The sentences about one signal: on the whole model first, then layer by layer."""
    opening = [Statement("reaction", -1, reacting(signal, reaction))]
    if signal == CONTROL or not reaction["reacts"]:
        return opening
    if units is None or units.empty:
        none = "No pair changes its score enough to ask where that comes from."
        return [*opening, Statement("reaction", -1, none)]
    sure = units[claimed(units)]
    layers = sorted(units["layer"].unique().tolist())
    whole = (("journey", journey(sure, layers)), ("heads", heads_in_all(sure)))
    return [
        *opening,
        *(Statement(kind, -1, text) for kind, text in whole if text),
        *(Statement("layer", layer, of_layer(sure, layer)) for layer in layers),
    ]


def reacting(signal: str, reaction: Mapping[str, Any]) -> str:
    """Whether the model reacts to the signal, with the numbers."""
    change, low, high, random = (
        signed(reaction[name]) for name in ("change", "low", "high", "control")
    )
    change = f"{change} (95 % interval {low} to {high}, {reaction['pairs']} pairs)"
    if signal == CONTROL:
        return f"A word that is in neither query nor document changes the score by {change}."
    if reaction["untested"]:
        return (
            f"The score changes by {change}; whether any word would do the same is not known, as "
            f"{reaction['untested']}."
        )
    beside = f"a random word for the same queries by {random}"
    if reaction["reacts"]:
        return f"The model reacts: the score changes by {change}, {beside}."
    if reaction["is_small"]:
        return (
            f"The model reacts, but hardly: the score changes by {change}, {beside}; a mean below "
            f"{reaction['least']:.2g} is not explained further."
        )
    return (
        f"The model does not react to this signal beyond what a random word does: the score "
        f"changes by {change}, {beside}. Its parts are therefore not named."
    )


def signed(value: float) -> str:
    """Two digits with a sign, and none before a zero."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def journey(sure: Frame, layers: Sequence[int]) -> str:
    """Where the difference is at the input of each layer, as far as one role stands out."""
    stream = sure[(sure["site"] == "resid_pre") & (sure["mean"] > 0) & (sure["layer"] > 0)]
    if stream.empty:
        return ""
    top = stream.loc[stream.groupby("layer")["mean"].idxmax()].set_index("layer")["part"]
    stages: list[tuple[str, int, int]] = []
    for layer in layers:
        if layer not in top.index:
            continue
        role = top[layer]
        if stages and stages[-1][0] == role and stages[-1][2] == layer - 1:
            stages[-1] = (role, stages[-1][1], layer)
        else:
            stages.append((role, layer, layer))
    parts = [
        f"{WORDS[role]} (layer{'s' if first != last else ''} "
        f"{first if first == last else f'{first} to {last}'})"
        for role, first, last in stages
    ]
    return f"Of all roles, the input of a layer restores most at {listed(parts, 'then at')}."


def heads_in_all(sure: Frame) -> str:
    """The heads with the largest effects in the whole model."""
    heads = sure[sure["site"] == "z"]
    if heads.empty:
        return "No single head stands out."
    return f"Heads that stand out: {effects(heads, head=True)}."


def of_layer(sure: Frame, layer: int) -> str:
    """What one layer does, as far as anything stands out."""
    here = sure[sure["layer"] == layer]
    found = {site: here[here["site"] == site] for site in FLOOR}
    parts = []
    if layer == 0:
        parts.append("Its input differs at the injected tokens only.")
    elif not found["resid_pre"].empty:
        parts.append(f"Its input carries the difference in {effects(found['resid_pre'])}.")
    if not found["attn_out"].empty:
        parts.append(f"What attention writes matters at {effects(found['attn_out'])}.")
    if not found["z"].empty:
        verb = "stands" if len(found["z"]) == 1 else "stand"
        parts.append(f"Of its heads, {effects(found['z'], head=True)} {verb} out.")
    if not found["mlp_out"].empty:
        parts.append(f"What the MLP writes matters at {effects(found['mlp_out'])}.")
    inside = any(len(found[site]) for site in ("attn_out", "z", "mlp_out"))
    if not inside:
        parts.append("No token role and no head of this layer stands out.")
    return " ".join(parts)


def effects(rows: Frame, *, head: bool = False) -> str:
    """The largest effects with their intervals, and how many more there are."""
    ordered = rows.reindex(rows["mean"].abs().sort_values(ascending=False).index)
    named = [
        f"{f'{row.layer}.{row.part}' if head else WORDS[row.part]} "
        f"({row.mean:.2f}, {row.low:.2f} to {row.high:.2f})"
        for row in ordered.head(NAMED).itertuples()
    ]
    more = len(ordered) - NAMED
    return listed(named) + (f" and {more} more" if more > 0 else "")


def listed(parts: Sequence[str], last: str = "and") -> str:
    """Parts in a row: "a, b and c"."""
    if last != "and":
        return f", {last} ".join(parts)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"
