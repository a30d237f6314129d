"""How the numbers of a report were read from the model, in words."""

from typing import Any

from ..findings import Findings
from .frames import read


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
        f"{'s' if m['labels'] > 1 else ''}); {follows}. {laid_out(m)} Pairs longer than "
        f"{m['positions']} tokens are cut ({cut(m)}); {meta['ranked']['truncated']} of the ranked "
        "ones were."
    )


def laid_out(model: dict[str, Any]) -> str:
    """How the model reads a pair."""
    template = model.get("template")
    if template is None:
        return "Query and document are the two texts of its tokenizer."
    return f"Query and document stand in the template {template!r}."


def cut(model: dict[str, Any]) -> str:
    """Which text of a long pair loses tokens."""
    is_whole = model.get("template") is None
    return model["truncation"].replace("_", " ") if is_whole else "the document alone"
