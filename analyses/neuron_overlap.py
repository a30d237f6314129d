"""Do the same neurons carry relevance in every collection?

The top neurons by mean flow in relevant pairs (P) and in others (N) of each collection, whose
prediction agrees with the judgement: how many of them two collections share, how many all share,
and how many P and N of one collection share. Beside each stands what random sets share, and what
the two halves of one collection's pairs share: more cannot be expected of two collections.
Vast et al. (2024), RQ1 and RQ2, Fig. 2 and 3.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from crosslens.frames import Frame, pd
from crosslens.neurons import ClassFlow, overlap, with_false_discoveries

from .neuron_flows import enough, flows, omissions, shares
from .option_types import Baseline, ClassTarget, SharesOfNeurons, Steps, Threshold, Tokens
from .running import Given, main


IS_SPLIT = True


class Options(NamedTuple):
    collection: list[str] = ["embedded"]  # noqa: RUF012
    pairs: int = 12
    shares: SharesOfNeurons = "0.01, 0.03, 0.1, 0.3, 1, 3, 10"
    baseline: Baseline = "padding"
    target: ClassTarget = "probability"
    steps: Steps = 20
    threshold: Threshold = 0.0
    tokens: Tokens = 96


@dataclass(frozen=True)
class Answer:
    """Pairs used; omissions; P and N of each collection; what all share; two collections."""

    pairs: Frame  # collection, class, drawn, agreeing, error
    omitted: Frame  # what, why
    classes: Frame  # collection, share, common, overlap, chance, p, p_fdr
    halves: Frame  # collection, class, share, overlap, chance
    cores: Frame  # curve, class, share, collections, of, neurons, and as `overlap`
    collections: Frame  # class, share, one, other, group, common, overlap, chance, p, p_fdr
    overlaps: Frame  # curve, class, share, group, overlap, low, high, chance, n


FIRST, OUTSIDE, HALVES = "first with OOD", "OOD with OOD", "two halves"


def analyse(given: Given) -> Answer:
    """All overlaps, at every share of one neuron or more."""
    found = flows(given)
    chosen, omitted = enough(shares(given.options.shares), found.flows[0].neurons)
    halves = halves_of(found.flows, chosen)
    unstable = [
        {"what": f"stability of {kind}", "why": "no collection has pairs in both halves"}
        for kind in ("P", "N")
        if kind not in set(halves["class"])
    ]
    pairs_of_collections = compared(found.flows, chosen)
    return Answer(
        found.pairs,
        omissions(unstable, omitted, found.omitted),
        classes_of(found.flows, chosen),
        halves,
        cores_of(found.flows, chosen),
        pairs_of_collections,
        grouped(pairs_of_collections, halves),
    )


def compared(found: tuple[ClassFlow, ...], chosen: list[float]) -> Frame:
    """The overlap of every two collections, by class and share."""
    rows = []
    for kind in ("P", "N"):
        able = [flow for flow in found if flow.has(kind)]
        for share in chosen:
            tops = {flow.name: flow.top(kind, share) for flow in able}
            for one, other in combinations(tops, 2):
                both = overlap([tops[one], tops[other]])
                rows.append(
                    {
                        "class": kind,
                        "share": share,
                        "one": one,
                        "other": other,
                        "group": FIRST if one == found[0].name else OUTSIDE,
                        "common": both.common,
                        "overlap": both.share,
                        "chance": both.chance,
                        "p": both.p,
                    }
                )
    columns = ["class", "share", "one", "other", "group", "common", "overlap", "chance", "p"]
    return with_false_discoveries(pd.DataFrame(rows, columns=columns))


def halves_of(found: tuple[ClassFlow, ...], chosen: list[float]) -> Frame:
    """The overlap of the two halves of each collection's pairs, where both have some."""
    rows = []
    for flow in found:
        for kind in ("P", "N"):
            if not flow.has_halves(kind):
                continue
            for share in chosen:
                both = overlap([flow.top(kind, share, half) for half in (0, 1)])
                rows.append((flow.name, kind, share, both.share, both.chance))
    return pd.DataFrame(rows, columns=["collection", "class", "share", "overlap", "chance"])


def cores_of(found: tuple[ClassFlow, ...], chosen: list[float]) -> Frame:
    """What the schemes of all collections share, and of all but the first."""
    rows = []
    for kind in ("P", "N"):
        for group, some in (("all", found), ("all OOD", found[1:])):
            able = [flow for flow in some if flow.has(kind)]
            if len(able) < 2:
                continue
            for share in chosen:
                tops = [flow.top(kind, share) for flow in able]
                core = overlap(tops)
                rows.append(
                    {
                        "curve": f"{kind}: {group}",
                        "class": kind,
                        "share": share,
                        "collections": group,
                        "of": len(able),
                        "neurons": len(tops[0]),
                        "common": core.common,
                        "overlap": core.share,
                        "expected": core.expected,
                        "chance": core.chance,
                    }
                )
    columns = ["curve", "class", "share", "collections", "of", "neurons", "common", "overlap"]
    return pd.DataFrame(rows, columns=[*columns, "expected", "chance"])


def classes_of(found: tuple[ClassFlow, ...], chosen: list[float]) -> Frame:
    """What P and N of a collection share."""
    rows = []
    for flow in found:
        for share in chosen if flow.has("F") else ():
            both = overlap([flow.top("P", share), flow.top("N", share)])
            rows.append((flow.name, share, both.common, both.share, both.chance, both.p))
    columns = ["collection", "share", "common", "overlap", "chance", "p"]
    return with_false_discoveries(pd.DataFrame(rows, columns=columns))


def grouped(compared: Frame, halves: Frame) -> Frame:
    """Mean overlap of two collections, and of the halves of one, with the least and the most."""
    whole = pd.concat([compared, halves.assign(group=HALVES)])
    rows = []
    for (kind, share, group), some in whole.groupby(["class", "share", "group"], sort=False):
        rows.append(
            {
                "curve": f"{kind}: {group}",
                "class": kind,
                "share": share,
                "group": group,
                "overlap": some["overlap"].mean(),
                "low": some["overlap"].min(),
                "high": some["overlap"].max(),
                "chance": some["chance"].mean(),
                "n": len(some),
            }
        )
    columns = ["curve", "class", "share", "group", "overlap", "low", "high", "chance", "n"]
    return pd.DataFrame(rows, columns=columns)


if __name__ == "__main__":
    main(__spec__.name)
