"""What `explain` found: a value that prints, shows itself in a notebook, and writes a page."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..frames import Frame, pd
from ..writing import write_whole
from .turning import Turn


@dataclass(frozen=True, eq=False)
class Details:
    """One pair taken apart. All effects are in score units, and exact but for the estimates."""

    words: Frame  # segment, text, start, end, effect, gradient_x_input, integrated_gradients
    agreement: Mapping[str, float]  # Spearman's rho of each estimate with the exact effects
    terms: Frame  # term, matches, kind, similarity, count, effect: matched words of the query
    heads: Frame  # head, effect, and a column per matched word
    matched: float  # the effect of all matches together
    layers: Frame  # layer, without (the score if the texts stop reading each other there), step

    @property
    def n_skipped(self) -> int:
        """How many words of the passage were not deleted."""
        own = self.words["effect"][self.words["segment"] == "document"]
        return int(own.isna().sum()) if len(own) > 1 else 0

    @property
    def deciding_layer(self) -> int:
        """The layer in which reading each other moves the score most."""
        return int(self.layers["step"].abs().idxmax())


@dataclass(frozen=True, eq=False)
class Passage:
    """One passage in the ranking."""

    text: str
    given: int  # its place in the order given, from 0
    score: float  # the logit, or the difference of two
    activated: float  # what the model's own activation makes of the score
    n_tokens: int
    n_cut: int  # tokens of the pair that the model does not read
    details: Details | None  # of the first passages alone


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why passages rank as they do for a query: `print` it, or write `html` and `json`."""

    query: str
    model: str
    activation: str  # the name of what follows the score
    passages: tuple[Passage, ...]  # the best first
    apart: Frame | None  # text, first, second, difference: what each word of the query separates
    turns: tuple[Turn, ...]  # what turns the order of the first two: removal, addition
    notes: tuple[str, ...]

    @property
    def gap(self) -> float:
        """By how much the first passage scores above the second, in score units; nan of one."""
        if len(self.passages) < 2:
            return float("nan")
        return self.passages[0].score - self.passages[1].score

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data: numbers, text, lists and mappings; None for what is missing."""
        return {
            "query": self.query,
            "model": self.model,
            "activation": self.activation,
            "passages": [_passage(passage) for passage in self.passages],
            "apart": None if self.apart is None else _records(self.apart),
            "turns": [{**asdict(turn), "is_found": turn.is_found} for turn in self.turns],
            "notes": list(self.notes),
        }

    def json(self, path: str | Path | None = None) -> str:
        """The same as JSON; also written to `path`.

        Raises:
            OSError: nothing can be written there.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if path is not None:
            write_whole(Path(path), text.encode())
        return text

    def html(self, path: str | Path | None = None) -> str:
        """One page, everything inside, nothing fetched; also written to `path`.

        Raises:
            OSError: nothing can be written there.
        """
        from .page import page

        text = page(self)
        if path is not None:
            write_whole(Path(path), text.encode())
        return text

    def __str__(self) -> str:
        from .terminal import as_text

        return as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows: the page in a frame of its own, so that styles do not mix."""
        from html import escape

        return (
            f'<iframe srcdoc="{escape(self.html())}" style="width:100%;height:680px;border:0" '
            'title="CrossLens explanation" sandbox="allow-popups"></iframe>'
        )


def _passage(passage: Passage) -> dict[str, Any]:
    details = passage.details
    return {
        "text": passage.text,
        "given": passage.given,
        "score": passage.score,
        "activated": passage.activated,
        "n_tokens": passage.n_tokens,
        "n_cut": passage.n_cut,
        "details": None
        if details is None
        else {
            "words": _records(details.words),
            "agreement": {name: _number(rho) for name, rho in details.agreement.items()},
            "terms": _records(details.terms),
            "heads": _records(details.heads),
            "matched": details.matched,
            "layers": _records(details.layers),
            "deciding_layer": details.deciding_layer,
        },
    }


def _records(frame: Frame) -> list[dict[str, Any]]:
    kept: Frame = pd.DataFrame(frame)
    return [
        {key: _number(value) for key, value in row.items()}
        for row in json.loads(kept.to_json(orient="records", double_precision=15))
    ]


def _number(value: Any) -> Any:
    """None for what JSON cannot hold."""
    return None if isinstance(value, float | np.floating) and not np.isfinite(value) else value
