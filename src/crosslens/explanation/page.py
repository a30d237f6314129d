"""An explanation as one page: everything inside, nothing fetched."""

from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment
from markupsafe import escape, Markup

from ..frames import Frame
from ..markup import around
from ..versions import versions
from .explanation import Details, Explanation, Passage
from .sentences import agreed, decided, matched, turn
from .turning import Turn


NAMES: Final = {
    "gradient_x_input": "gradient × input",
    "integrated_gradients": "integrated gradients",
}
STRONG: Final = 0.1  # of the strongest word: weaker ones are coloured, not underlined


def page(it: Explanation) -> str:
    """The page as HTML."""
    here = files("crosslens") / "explanation"
    style = (files("crosslens") / "report" / "style.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["signed"] = signed
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    return template.render(
        it=it,
        style=Markup(style),
        own_style=Markup((here / "page.css").read_text(encoding="utf-8")),
        version=versions()["crosslens"],
        details=[_details(p) for p in it.passages if p.details is not None],
        apart=None
        if it.apart is None
        else it.apart.sort_values("difference", ascending=False).to_dict("records"),
        turns=[{"sentence": turn(each), "text": changed(each, it)} for each in it.turns],
        estimates=NAMES,
    )


def signed(value: float) -> str:
    """A number with its sign; nothing where there is none."""
    return "" if value != value else f"{value:+.3f}".replace("-0.000", "+0.000")


def _details(passage: Passage) -> dict[str, Any]:
    details = passage.details
    assert details is not None
    words = details.words
    order = words["effect"].abs().sort_values(ascending=False, na_position="last").index
    top = words["effect"].abs().max()
    terms = details.heads.columns[2:]
    return {
        "score": f"{passage.score:.3f}",
        "query": marked_query(words, top),
        "passage": marked(passage.text, words[words["segment"] == "document"], top),
        "words": words.loc[order].to_dict("records"),
        "agreed": agreed(details),
        "matched": matched(details),
        "decided": decided(details),
        "terms": details.terms.to_dict("records"),
        "head_terms": [name.split(":", 1)[1] for name in terms],
        "heads": [
            {"name": row["head"], "effect": row["effect"], "terms": [row[name] for name in terms]}
            for row in details.heads.to_dict("records")
        ],
        "layers": layers(details),
    }


def marked(text: str, words: Frame, top: float) -> Markup:
    """The text with each word's effect as its colour, and as a number where one points at it."""
    out, last = Markup(""), 0
    for row in words.itertuples():
        out += escape(text[last : row.start]) + word(text[row.start : row.end], row.effect, top)
        last = row.end
    return out + escape(text[last:])


def marked_query(words: Frame, top: float) -> Markup:
    """The words of the query that the model reads, coloured alike."""
    own = words[words["segment"] == "query"]
    return Markup(" ").join(word(row.text, row.effect, top) for row in own.itertuples())


def word(text: str, effect: float, top: float) -> Markup:
    if effect != effect or not top:
        return Markup("<span>{}</span>").format(text)
    strength = abs(effect) / top
    kind = "up" if effect > 0 else "down"
    return Markup('<span class="w {}" style="--s:{:.3f}" title="{}">{}</span>').format(
        f"{kind} strong" if strength >= STRONG else kind, strength, signed(effect), text
    )


def layers(details: Details) -> list[dict[str, Any]]:
    """A bar for each layer, as shares of the longest."""
    steps = details.layers["step"].tolist()
    longest = max(map(abs, steps)) or 1.0
    return [
        {
            "layer": layer,
            "step": step,
            "left": 50 * (1 + min(step, 0) / longest),
            "width": 50 * abs(step) / longest,
            "is_deciding": layer == details.deciding_layer,
        }
        for layer, step in enumerate(steps)
    ]


def changed(found: Turn, it: Explanation) -> Markup | None:
    """The changed passage: what was removed struck out, what was added marked."""
    if not found.is_found:
        return None
    if found.kind == "remove":
        return around(it.passages[0].text, found.spans, Markup("<del>{}</del>"))
    start = found.text.index(it.passages[1].text)
    end = start + len(it.passages[1].text)
    spans = [span for span in ((0, start), (end, len(found.text))) if span[0] < span[1]]
    return around(found.text, spans, Markup("<ins>{}</ins>"))
