"""Through which tokens and heads does a match reach the score, layer by layer?

Every token role of what each layer reads, and every head, is given to the text without the match
as it was in the text with it: one more exact match (TFC1), and one in meaning (STMC1). Exact
patches; 1 restores the whole difference. Lu et al. (2025), section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from crosslens import Axioms, Contrast, NotMeasurable, patching, Unit, units_at
from crosslens.attribution import Effects, recovery, smallest_contrast
from crosslens.frames import Frame, pd
from crosslens.words import scores_of

from .running import Given, main
from .samples import slices


IS_SPLIT = True


STREAMS: Final = {
    "resid_pre": "what the layer reads",
    "attn_out": "what attention writes",
    "mlp_out": "what the MLP writes",
}
PADDING: Final = "[PAD]"
AT_ONCE: Final = 4  # pairs; an interruption loses the work of so many at most


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
    contrasts: dict[str, Contrast] = {}
    for name, build in (("TFC1", axioms.tfc1), ("STMC1", axioms.stmc1)):
        try:
            contrasts[name] = moving(given, build(given.pairs))
        except NotMeasurable as error:
            given.run.note(**{f"no_{name}": str(error)})
    if not contrasts:
        raise NotMeasurable("neither an exact match nor one in meaning moves the score here")
    parts = {
        f"{name}-{rows.start}": partial(patched, given, contrast, rows)
        for name, contrast in contrasts.items()
        for rows in slices(len(contrast), AT_ONCE)
    }
    found = given.parts("Patching", "effects", parts)
    effects = pd.concat(found.values(), ignore_index=True)
    n_layers = given.model.cfg.n_layers
    tables = [
        Effects.of_frame(effects[effects["signal"] == name], units_of(given, contrast))
        .summary(seed=given.seed)
        .assign(depth=lambda table: (table["layer"] + 1) / n_layers)
        for name, contrast in contrasts.items()
    ]
    units = pd.concat(tables, ignore_index=True)
    return Answer(units, places(units), strongest(units))


def units_of(given: Given, contrast: Contrast) -> list[Unit]:
    """Every role in every layer of the streams, and every head."""
    there = [role for role in contrast.base.roles if contrast.base.where(role).any()]
    roles = [role for role in there if role != PADDING]
    streams = [unit for name in STREAMS for unit in units_at(given.model.sites(name), "pos", roles)]
    return streams + given.model.heads()


def moving(given: Given, contrast: Contrast) -> Contrast:
    """The pairs whose score the signal moves: of the others nothing can be restored.

    Raises:
        NotMeasurable: it moves none.
    """
    base, more = (scores_of(given.model, each) for each in (contrast.base, contrast.more))
    is_still = recovery(base, base, more, least=smallest_contrast(base, more)).isnan()
    return contrast.take((~is_still).nonzero().flatten().tolist())


def patched(given: Given, contrast: Contrast, rows: slice) -> Frame:
    """What each unit restores of some pairs; all units of the whole contrast, by pair."""
    units = units_of(given, contrast)
    frame = patching(given.model, contrast.take(rows), units, least=0.0).frame()
    return frame.assign(pair=frame["pair"] + rows.start)


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
