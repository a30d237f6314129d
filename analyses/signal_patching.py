"""Through which tokens and heads does a match reach the score, layer by layer?

Every token role of what each layer reads, and every head, is given to the text without the match
as it was in the text with it: one more exact match (TFC1), and one in meaning (STMC1). Exact
patches; 1 restores the whole difference. Lu et al. (2025), section 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from crosslens import Axioms, Contrast, NotMeasurable, patching, Unit, units_at
from crosslens.frames import Frame, pd

from .running import Given, main


STREAMS: Final = {
    "resid_pre": "what the layer reads",
    "attn_out": "what attention writes",
    "mlp_out": "what the MLP writes",
}
PADDING: Final = "[PAD]"


@dataclass(frozen=True)
class Answer:
    """One row per signal and unit; one per signal and layer; one per signal and place."""

    units: Frame  # signal, site, layer, depth, part (role or head), mean, low, high, n, p, q
    places: Frame  # signal, layer, depth, place (word, query, [CLS]), mean, low, high: of resid_pre
    heads: Frame  # signal, layer, part, mean, low, high, n, q: the ten strongest


PLACES: Final = {"D_inj": "injected word", "Q+": "query term", "[CLS]": "[CLS]"}


def analyse(given: Given) -> Answer:
    """Both signals where the texts allow them; what they do not allow is noted."""
    axioms = Axioms(given.model, given.texts, seed=given.seed)
    found = []
    for place, (name, build) in enumerate((("TFC1", axioms.tfc1), ("STMC1", axioms.stmc1))):
        given.watch("Patching", place, 2)
        try:
            found.append(given.keep("units", name, partial(patched, given, name, build)))
        except NotMeasurable as error:
            given.run.note(**{f"no_{name}": str(error)})
    given.watch("Patching", 2, 2)
    if not found:
        raise NotMeasurable("neither an exact match nor one in meaning moves the score here")
    units = pd.concat(found, ignore_index=True)
    return Answer(units, places(units), strongest(units))


def units_of(given: Given, contrast: Contrast) -> list[Unit]:
    """Every role in every layer of the streams, and every head."""
    there = [role for role in contrast.base.roles if contrast.base.where(role).any()]
    roles = [role for role in there if role != PADDING]
    streams = [unit for name in STREAMS for unit in units_at(given.model.sites(name), "pos", roles)]
    return streams + given.model.heads()


def patched(given: Given, name: str, build: Callable[[int], Contrast]) -> Frame:
    """What each unit restores of one signal."""
    contrast = build(given.pairs)
    summary = patching(given.model, contrast, units_of(given, contrast)).summary(seed=given.seed)
    depth = (summary["layer"] + 1) / given.model.cfg.n_layers
    return summary.assign(signal=name, depth=depth)


def places(units: Frame) -> Frame:
    """Where the match stands in what each layer reads."""
    read = units[(units["site"] == "resid_pre") & units["part"].isin([*PLACES])]
    found = read.assign(place=read["part"].map(PLACES))
    columns = ["signal", "layer", "depth", "place", "mean", "low", "high", "n"]
    return found[columns].reset_index(drop=True)


def strongest(units: Frame, n: int = 10) -> Frame:
    """The heads that restore most of each signal."""
    heads = units[units["site"] == "z"]
    order: Sequence[int] = heads["mean"].abs().sort_values(ascending=False).index
    chosen = heads.loc[order].groupby("signal", sort=False).head(n)
    found = chosen.assign(head=chosen["layer"].astype(str) + "." + chosen["part"])
    return found[["signal", "head", "layer", "mean", "low", "high", "n", "q"]].reset_index(
        drop=True
    )


if __name__ == "__main__":
    main(__spec__.name)
